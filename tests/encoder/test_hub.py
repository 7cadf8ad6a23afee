"""Fetching weights, against a server on this machine that answers as the Hub does; nothing here reaches further."""

from __future__ import annotations

import hashlib
import http.server
import threading

import numpy as np
import pytest
import torch

from behavior_prism.encoder import RELEASES, VideoEncoder, export, fetch_weights, find_release, load_encoder, preset
from behavior_prism.encoder.checkpoints import build
from behavior_prism.encoder.hub import LOCK_ENDING, Release, find_weights, weights_dir

pytestmark = pytest.mark.torch
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(monkeypatch):
    """A server with files by path; ``hub.files[path] = bytes``; counts what was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(with_body=False)

        def do_GET(self):
            self.answer(with_body=True)

        def answer(self, *, with_body):
            hub.asked.append((self.command, self.path))
            body = hub.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body or b"")))
            if body is not None:
                self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.end_headers()
            if with_body and body is not None:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.files, hub.asked = {}, []
    hub.url = f"http://127.0.0.1:{hub.server_port}"
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """A file in the official layout, of the size that has no released weights."""
    model = VideoEncoder(preset("tiny").config)
    model.init_weights(11)
    path = tmp_path_factory.mktemp("official") / "flax_tiny.npz"
    np.savez(path, **export(model, "flax"))
    return path.read_bytes()


RELEASE = Release("lab/videoprism-tiny", "flax_tiny.npz", size="tiny")
WHERE = "/lab/videoprism-tiny/resolve/main/flax_tiny.npz"


def test_fetched_once_then_found_without_a_network(hub, npz, tmp_path):
    hub.files[WHERE] = npz
    path = fetch_weights(RELEASE, tmp_path)
    assert path == tmp_path / "lab" / "videoprism-tiny" / "flax_tiny.npz" and path.read_bytes() == npz
    assert load_encoder("tiny", weights=path, device="cpu").trained
    lock = path.with_name(path.name + LOCK_ENDING).read_text()
    assert hashlib.sha256(npz).hexdigest() in lock and COMMIT in lock
    hub.asked.clear()
    assert fetch_weights(RELEASE, tmp_path) == find_weights(RELEASE, tmp_path) == path
    assert hub.asked == []


def test_the_commit_of_the_first_fetch_is_kept(hub, npz, tmp_path):
    hub.files[WHERE] = npz
    path = fetch_weights(RELEASE, tmp_path)
    path.unlink()
    hub.files = {WHERE.replace("main", COMMIT): npz}  # `main` has moved on
    assert fetch_weights(RELEASE, tmp_path).read_bytes() == npz


def test_changed_weights_are_refused(hub, npz, tmp_path):
    hub.files[WHERE] = npz
    path = fetch_weights(RELEASE, tmp_path)
    other = bytearray(npz)
    other[len(other) // 2] ^= 1
    path.write_bytes(other)
    with pytest.raises(ValueError, match=r"flax_tiny\.npz: expected SHA-256 \w{12}\.\.\. as at the first fetch, got"):
        fetch_weights(RELEASE, tmp_path)
    path.unlink()
    hub.files[WHERE.replace("main", COMMIT)] = bytes(other)  # and from the Hub too
    with pytest.raises(ValueError, match="SHA-256"):
        fetch_weights(RELEASE, tmp_path)


def test_a_file_of_the_wrong_size_is_refused_and_not_kept(hub, tmp_path):
    hub.files[WHERE] = b"<html>please log in</html>"
    with pytest.raises(
        ValueError, match=r"flax_tiny\.npz: expected \d+ to \d+ bytes for 'tiny', got 26; fetch it again"
    ):
        fetch_weights(RELEASE, tmp_path)
    assert find_weights(RELEASE, tmp_path) is None and not list(tmp_path.rglob(f"*{LOCK_ENDING}"))


def test_offline_says_which_file_and_where_to_put_it(monkeypatch, tmp_path, npz):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(FileNotFoundError) as error:
        fetch_weights(RELEASE, tmp_path)
    message = str(error.value)
    target = tmp_path / "lab" / "videoprism-tiny" / "flax_tiny.npz"
    assert RELEASE.url in message and str(target) in message and "\n" not in message
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(npz)  # what the message says, done by hand
    assert fetch_weights(RELEASE, tmp_path) == target


def test_a_file_that_the_repository_does_not_have(hub, tmp_path):
    with pytest.raises(FileNotFoundError, match="could not be fetched"):
        fetch_weights(RELEASE, tmp_path)


@pytest.fixture(scope="module")
def lvt(tmp_path_factory):
    """A video-text file in the official layout and a tokenizer that fits it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("lvt")
    np.savez(folder / "lvt.npz", **export(build(preset("lvt-tiny").config, empty=False), "flax"))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a mouse walks and grooms. a fly turns in the arena."] * 20),
        model_prefix=str(folder / "sp"),
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return (folder / "lvt.npz").read_bytes(), (folder / "sp.model").read_bytes()


def test_the_tokenizer_comes_along(hub, tmp_path, lvt):
    where = "/lab/videoprism-lvt-tiny/resolve/main/flax_lvt.npz"
    hub.files = {where: lvt[0], "/vocabs/sentencepiece.model": lvt[1]}
    url = f"{hub.url}/vocabs/sentencepiece.model"
    release = Release("lab/videoprism-lvt-tiny", "flax_lvt.npz", "main", "lvt-tiny", url)
    path = fetch_weights(release, tmp_path)
    tokenizer = path.parent / "tokenizer.model"
    assert tokenizer.read_bytes() == lvt[1] and tokenizer.stat().st_mode & 0o044 == 0o044
    assert load_encoder(path, device="cpu").encode_text(["a mouse"]).shape == (1, 192)
    tokenizer.write_bytes(lvt[1] + b" ")
    with pytest.raises(ValueError, match=r"tokenizer\.model: expected SHA-256"):
        fetch_weights(release, tmp_path)


@pytest.mark.parametrize("answer", [None, b"<html>please log in</html>"])
def test_a_tokenizer_that_is_none_is_not_kept(hub, tmp_path, lvt, answer):
    hub.files["/lab/lvt/resolve/main/flax_lvt.npz"] = lvt[0]
    if answer is not None:
        hub.files["/none.model"] = answer
    release = Release("lab/lvt", "flax_lvt.npz", "main", "lvt-tiny", f"{hub.url}/none.model")
    with pytest.raises(
        FileNotFoundError, match="tokenizer of lab/lvt is not here and could not be fetched .*put it at"
    ):
        fetch_weights(release, tmp_path)
    left = sorted(p.name for p in (tmp_path / "lab" / "lvt").iterdir() if p.name != ".cache")
    assert left == ["flax_lvt.npz", "flax_lvt.npz.lock.json"]
    hub.files["/none.model"] = lvt[1]  # mended there: the next try goes through
    assert (fetch_weights(release, tmp_path).parent / "tokenizer.model").read_bytes() == lvt[1]


def test_a_tokenizer_of_the_repository_itself(hub, tmp_path, lvt):
    hub.files["/lab/texts/resolve/v2/flax_lvt.npz"] = lvt[0]
    hub.files["/lab/texts/resolve/v2/spiece.model"] = lvt[1]
    path = fetch_weights(Release("lab/texts", "flax_lvt.npz", "v2"), tmp_path)
    assert path.parent == tmp_path / "lab" / "texts@v2"
    assert (path.parent / "spiece.model").read_bytes() == lvt[1]


def test_a_shared_folder_that_is_not_ours_to_write(monkeypatch, tmp_path, npz):
    target = tmp_path / RELEASE.key
    target.parent.mkdir(parents=True)
    target.write_bytes(npz)

    def refused(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr("tempfile.mkstemp", refused)
    assert find_weights(RELEASE, tmp_path) == target


def test_names(monkeypatch, tmp_path):
    assert find_release("videoprism-lvt-large").repo == "google/videoprism-lvt-large-f8r288"
    assert find_release("lab/mice@abc:own.safetensors") == Release("lab/mice", "own.safetensors", "abc")
    official = find_release("google/videoprism-base-f16r288@abc:flax_base_f16r288_repeated.npz")
    assert official.revision == "abc" and official.size == "base"
    keys = [find_release(n).key for n in ("alice/mice", "bob/mice", "bob/mice@v2")]
    assert keys == ["alice/mice/model.safetensors", "bob/mice/model.safetensors", "bob/mice@v2/model.safetensors"]
    assert find_release("google/videoprism-base-f16r288:flax_base_f16r288_repeated.npz") == RELEASES["base"]
    assert find_release("giant") is None
    monkeypatch.setenv("BEHAVIOR_PRISM_WEIGHTS", str(tmp_path))
    assert weights_dir() == tmp_path


def test_the_door_fetches_what_was_released_and_says_so_where_nothing_was(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("BEHAVIOR_PRISM_WEIGHTS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="google/videoprism-base-f16r288 are not here"):
        load_encoder("videoprism-base")
    assert any("google/videoprism-base-f16r288" in path for _, path in hub.asked)
    assert "untrained" in load_encoder("tiny", device="cpu").notice
    random = load_encoder("tiny", weights=None, device="cpu")
    assert torch.equal(random.model.spatial_pos_emb, load_encoder("tiny", device="cpu").model.spatial_pos_emb)
    with pytest.raises(ValueError, match="expected the name of a size for random weights"):
        load_encoder("lab/mice", weights=None)
