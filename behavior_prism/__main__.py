"""Entry point of the command line: ``behavior-prism`` or ``python -m behavior_prism``."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from .cli import app

    app()


if __name__ == "__main__":
    main()
