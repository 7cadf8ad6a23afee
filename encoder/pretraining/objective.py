"""What every stage of pretraining gives to the trainer: a loss with its gradients, and the model that is learned.

All that is random about a batch (which tokens are dropped, masked, shuffled) is drawn where the batch is made and
comes with it. A step is thereby a function of parameters and batch, which is what exact resuming and gradient caching
rest on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Batch = Mapping[str, Tensor]  # the first dimension of every tensor but shared ones counts the samples
Evaluator = Callable[["Objective", int], dict[str, float]]  # (objective, step) -> what is measured, by name


class BatchSource(Protocol):
    """Where batches come from: endless or not, and able to go on exactly where it was."""

    def __iter__(self) -> Iterator[Batch]:
        """Give batches, from where the state says."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where it is: behind the batch that was given last.

        Returns
        -------
        dict
            JSON-compatible.
        """
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there.

        Parameters
        ----------
        state : dict
            From :meth:`state_dict`.
        """
        ...


class Objective(nn.Module):
    """A stage's models and loss.

    Parameters that are learned require gradients; a frozen teacher does not, and its names begin with one of
    :attr:`frozen`, so that checkpoints leave it out.
    """

    frozen: tuple[str, ...] = ()

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            What the stage's collator makes, on the model's device.

        Returns
        -------
        loss : torch.Tensor
            A scalar.
        metrics : dict of str to torch.Tensor
            Scalars without gradient, to be logged.
        """
        raise NotImplementedError

    def backward(self, batch: Batch, scale: float = 1.0) -> dict[str, Tensor]:
        """Add the gradients of ``scale * loss`` to the parameters'.

        Stages that do it in pieces (gradient caching) do it here.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            As in :meth:`forward`.
        scale : float
            One over the number of batches whose gradients are accumulated.

        Returns
        -------
        dict of str to torch.Tensor
            ``loss`` and the other metrics.
        """
        loss, metrics = self(batch)
        (loss * scale).backward()
        return {"loss": loss.detach(), **metrics}

    def learned_model(self) -> nn.Module:
        """What is kept when training is over.

        Returns
        -------
        torch.nn.Module
            A ``VideoEncoder``, ``VideoTextModel`` or ``VideoClassifier``; its parameters are those that are trained.
        """
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay should leave alone.

        Returns
        -------
        set of str
            As :meth:`named_parameters` names them.
        """
        raise NotImplementedError

    def visualise(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures of what goes on, for the log.

        Parameters
        ----------
        batch : mapping of str to torch.Tensor
            As in :meth:`forward`; its first sample is drawn.

        Returns
        -------
        dict of str to torch.Tensor
            uint8, shape (height, width, 3), by name; none by default.
        """
        return {}


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Bring a batch to where the model is.

    Parameters
    ----------
    batch : mapping of str to torch.Tensor
        From a :class:`BatchSource`.
    device : torch.device
        Where the model is.

    Returns
    -------
    dict of str to torch.Tensor
        Scalars stay where they are: they are read, and reading them from a GPU would wait for it.
    """
    return {name: value.to(device, non_blocking=True) if value.ndim else value for name, value in batch.items()}
