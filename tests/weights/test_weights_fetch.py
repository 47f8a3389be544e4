"""Weights are fetched once and whole: servers that lie, break off or hang, files that rot, processes that collide."""

import hashlib
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.request import Request

import numpy as np
import pytest
from server import act, chunks, drip, endless, ranged, serve, stall, status, until_closed, whole

from kerascnn.support import store
from kerascnn.support.store import clear_cached_files, home, list_cached_files
from kerascnn.weights import fetch as transfer
from kerascnn.weights import hashes
from kerascnn.weights.connections import SafeRedirects
from kerascnn.weights.fetch import DownloadError, fetch

CONTENT = np.random.default_rng(0).bytes(100_000)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA1 = "sha1:" + hashlib.sha1(CONTENT).hexdigest()
WRONG = "sha256:" + "0" * 64
PAGE = b"\n<!DOCTYPE html><html><body>Sign in</body></html>"
HALF = len(CONTENT) // 2
TRIES = transfer.TRIES
OTHER = bytes(len(CONTENT))


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """An empty cache, a server reached without a proxy, and no waiting between tries."""
    for name in ("KERASCNN_OFFLINE", "KERASCNN_QUIET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    monkeypatch.setattr(transfer, "TIMEOUT", 0.25)


@pytest.fixture
def server():
    with serve(CONTENT) as found:
        yield found


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "weights"


def names(folder):
    return sorted(os.listdir(folder))


def keep(folder, name, content):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def failure(server, *, hash=SHA256, **rest):
    """The one line of an error, which says what was expected and what came, and the advice that names the place."""
    with pytest.raises(DownloadError) as caught:
        fetch(server.address, "net.pth", hash, what="weights of net", **rest)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("net.pth (weights of net) should ")
    assert "Received: " in text
    assert caught.value.advice
    return text


@pytest.mark.parametrize(
    "hash",
    ["", SHA256, SHA256[:15], MD5, SHA1, SHA256.upper().replace("SHA", "sha")],
    ids=lambda hash: hash[:15] or "none",
)
def test_fetched_once(server, folder, hash):
    path = fetch(server.address, "net.pth", hash)
    assert path == folder / "net.pth"
    assert path.read_bytes() == CONTENT
    assert names(folder) == ["net.pth", "net.pth.sha256"]
    assert fetch(server.address, "net.pth", hash) == path
    assert len(server.asked) == 1


GOOD = {  # acts of the server -> the ranges that it is asked for
    "whole": ([whole], [None]),
    "500 once": ([status(500), whole], [None, None]),
    "503 and 429": ([status(503), status(429), whole], [None] * 3),
    "redirect": ([status(302, Location="/there"), whole], [None, None]),
    "no length": ([until_closed], [None]),
    "range supported": ([act(ranged, upto=HALF), ranged], [None, f"bytes={HALF}-"]),
    "range ignored": ([act(whole, upto=HALF), whole], [None, f"bytes={HALF}-"]),
    "another range": ([act(whole, upto=HALF), act(ranged, moved=-9), whole], [None, f"bytes={HALF}-", None]),
    "part without its range": (
        [act(whole, upto=HALF), status(206, Content_Length=9), whole],
        [None, f"bytes={HALF}-", None],
    ),
    "a total before its start": (
        [chunks, status(206, Content_Range=f"bytes {HALF}-{HALF}/5"), whole],
        [None, f"bytes={HALF}-", None],
    ),
    "no total": ([chunks, act(ranged, total="*")], [None, f"bytes={HALF}-"]),
    "range past the end": ([act(whole, upto=HALF), status(416), whole], [None, f"bytes={HALF}-", None]),
    "changed meanwhile": ([act(whole, body=OTHER, upto=HALF, tag='"0"'), ranged], [None, f"bytes={HALF}-"]),
    "breaks off in chunks": ([chunks, ranged], [None, f"bytes={HALF}-"]),
    "stalls": ([act(stall, upto=HALF), ranged], [None, f"bytes={HALF}-"]),
    "stalls at once": ([lambda web: web.server.gate.wait(60), whole], [None, None]),
    "hangs up": ([lambda web: None, whole], [None, None]),
    "too short a length": ([act(whole, length=HALF), whole], [None, None]),
    "too long a length": ([act(whole, length=2 * HALF + 1), act(whole, tag=None)], [None, f"bytes={2 * HALF}-"]),
    "another hash once": ([act(whole, body=OTHER), whole], [None, None]),
}


NEEDS_HASH = ("too short", "too long", "another hash")  # without one, such lies cannot be known


CASES = [(case, hash) for case in GOOD for hash in (SHA256, "") if hash or not case.startswith(NEEDS_HASH)]


@pytest.mark.parametrize(("case", "hash"), CASES, ids=lambda value: {SHA256: "sha256", "": "no hash"}.get(value, value))
def test_interrupted_downloads_end_with_the_right_file(server, folder, case, hash):
    server.acts, ranges = GOOD[case]
    assert fetch(server.address, "net.pth", hash).read_bytes() == CONTENT
    assert server.asked == ranges
    assert names(folder) == ["net.pth", "net.pth.sha256"]


BAD = {  # acts -> words of the error, number of requests, what stays in the cache
    "404": ([status(404)], "be available at http://127.0.0.1:.*: HTTP status 404 .Not Found", 1, []),
    "403": ([status(403)], "status 403 .Forbidden", 1, []),
    "204": ([status(204)], "status 204", 1, []),
    "500 always": ([status(500)], f"status 500 .Internal Server Error., in {TRIES} attempts in a row", TRIES, []),
    "redirect to file://": ([status(302, Location="file:///etc/passwd")], "a redirect to 'file:///etc/passwd'", 1, []),
    "redirect to ftp://": ([status(302, Location="ftp://127.0.0.1/x")], "a redirect to 'ftp://127.0.0.1/x'", 1, []),
    "redirects in a circle": ([status(302, Location="/file")], "leads back to itself", 5, []),
    "page by its type": ([act(whole, kind="text/html; charset=utf-8")], "a web page .text/html.", 1, []),
    "page by its text": ([act(whole, body=PAGE)], "a web page .HTML or XML.", 1, []),
    "304": ([status(304)], "status 304 .Not Modified", 1, []),
    "empty": ([act(whole, body=b"")], "an empty file", 1, []),
    "compressed": ([status(200, Content_Encoding="gzip")], "content encoding 'gzip'", 1, []),
    "wrong hash": (
        [act(whole, body=OTHER)],
        f"have the hash {SHA256}. Received: sha256:.{{64}}, in two attempts",
        2,
        [],
    ),
    "truncates": ([act(whole, upto=HALF)], "50,000 of 100,000 bytes, .*; the 50,000 bytes .* kept", TRIES, ["part"]),
    "stalls": ([act(stall, upto=HALF)], "no data for 0.25 seconds", TRIES, ["part"]),
    "drips": ([drip], r"only \d+ bytes in 0.25 seconds", TRIES, ["part"]),
    "no HTTP": ([lambda web: web.wfile.write(b"220 ftp\r\n")], "a connection that was lost", TRIES, []),
    "absurd length": ([act(whole, length=10**15)], "at most 8,589,934,592 bytes long. Received: 1,0{3},0", 1, []),
}


@pytest.mark.parametrize("case", BAD)
def test_failed_downloads_raise_one_error(server, folder, case):
    server.acts, words, requests, left = BAD[case]
    assert re.search(words, failure(server))
    assert len(server.asked) == requests
    assert not (folder / "net.pth").exists()
    assert [row.file for row in list_cached_files() if row.complete] == []
    assert ["part" for row in list_cached_files() if not row.complete] == left


def test_endless_body(server, folder, monkeypatch):
    monkeypatch.setattr(transfer, "MAX_BYTES", 10 * len(CONTENT))
    server.acts = [endless]
    assert "be at most 1,000,000 bytes long. Received: more, and the transfer goes on" in failure(server)
    assert (folder / "net.pth.part").stat().st_size < 2_000_000


def test_full_disk(server, folder, monkeypatch):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=5000))
    assert f"have 100,000 bytes of free disk space in {folder}. Received: 5,000 bytes free" in failure(server)
    assert names(folder) == []


def test_many_breaks_with_progress_each_time(server, monkeypatch):
    monkeypatch.setattr(transfer, "PROGRESS_BYTES", 5000)
    server.acts = [act(ranged, upto=10_000)]
    assert fetch(server.address, "net.pth").read_bytes() == CONTENT
    assert len(server.asked) == 10 > TRIES


@pytest.mark.parametrize("weak", ['W/"1"', None], ids=["weak ETag", "no ETag"])
def test_no_resume_without_hash_or_version(server, weak):
    server.acts = [act(whole, upto=HALF, tag=weak), whole]
    assert fetch(server.address, "net.pth").read_bytes() == CONTENT
    assert server.asked == [None, None]


PARTIAL = {
    "its beginning": (CONTENT[:HALF], [f"bytes={HALF}-"]),
    "garbage": (OTHER[:HALF], [f"bytes={HALF}-", None]),
    "longer than the file": (OTHER + OTHER, [f"bytes={len(2 * OTHER)}-", None]),
    "all of it": (CONTENT, [f"bytes={len(CONTENT)}-", None]),
    "empty": (b"", [None]),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_earlier_partial_files(server, folder, case):
    content, ranges = PARTIAL[case]
    keep(folder, "net.pth.part", content)
    server.acts = [ranged]
    assert fetch(server.address, "net.pth", SHA256).read_bytes() == CONTENT
    assert server.asked == ranges


@pytest.mark.parametrize("about", ["{", "[]", "null", '{"total": "x", "version": 5}', '{"version": "a\\r\\nb: c"}'])
def test_damaged_note_beside_a_partial_file(server, folder, about):
    keep(folder, "net.pth.part", CONTENT[:HALF])
    keep(folder, "net.pth.part.json", about.encode())
    server.acts = [ranged]
    assert fetch(server.address, "net.pth", SHA256).read_bytes() == CONTENT


def test_partial_file_of_another_address(server, folder):
    keep(folder, "net.pth.part", OTHER[:HALF])
    keep(folder, "net.pth.part.json", b'{"address": "http://127.0.0.1/other", "version": "\\"1\\"", "total": 100000}')
    server.acts = [ranged]
    assert fetch(server.address, "net.pth").read_bytes() == CONTENT
    assert server.asked == [None]


DAMAGED = {"changed": OTHER, "cut off": CONTENT[:HALF], "empty": b""}


@pytest.mark.parametrize("hash", [SHA256, MD5, ""], ids=["sha256", "md5", "remembered"])
@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_is_replaced(server, folder, capsys, hash, case):
    fetch(server.address, "net.pth", hash)
    keep(folder, "net.pth", DAMAGED[case])
    assert fetch(server.address, "net.pth", hash).read_bytes() == CONTENT
    assert len(server.asked) == 2
    assert "the cached file net.pth is damaged" in capsys.readouterr().err


def test_damaged_file_without_a_replacement_is_an_error(server, folder):
    keep(folder, "net.pth", OTHER)
    server.acts = [act(whole, body=OTHER)]
    assert "in two attempts" in failure(server)
    assert names(folder) == []


def test_verified_file_is_neither_downloaded_nor_hashed_again(server, folder, monkeypatch):
    path = fetch(server.address, "net.pth", SHA256)
    monkeypatch.setattr(hashes, "file_hash", None)
    monkeypatch.setattr(transfer, "download_with_retries", None)
    for hash in (SHA256, SHA256[:15], ""):
        assert fetch(server.address, "net.pth", hash) == path


def test_manually_copied_file_is_used(server, folder):
    path = keep(folder, "net.pth", CONTENT)
    assert fetch(server.address, "net.pth", MD5) == path
    assert fetch(server.address, "net.pth", SHA256) == path
    assert server.asked == []


def test_sidecar_has_the_format_of_sha256sum(server, folder):
    fetch(server.address, "net.pth")
    first, second = (folder / "net.pth.sha256").read_text().splitlines()
    assert first == f"{SHA256.removeprefix('sha256:')}  net.pth"
    assert second.startswith("# 100000 ")


@pytest.mark.parametrize("sidecar", [b"", b"rubbish\n", b"\xff\n\xff\n", b"zz  net.pth\n# 1 2\n"])
def test_damaged_sidecar(server, folder, sidecar):
    path = fetch(server.address, "net.pth")
    keep(folder, "net.pth.sha256", sidecar)
    assert fetch(server.address, "net.pth") == path
    assert names(folder) == ["net.pth", "net.pth.sha256"]
    assert len(server.asked) == 1


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


OFFLINE = {
    "refused": ("http://127.0.0.1:{port}/net", {}, "refused"),
    "no such server": ("http://weights.invalid/net", {}, ""),
    "no such name": ("http://" + 70 * "a" + ".invalid/net", {}, "label"),
    "KERASCNN_OFFLINE": ("http://127.0.0.1:{port}/net", {"KERASCNN_OFFLINE": "1"}, "KERASCNN_OFFLINE is set"),
}


@pytest.mark.parametrize("case", OFFLINE)
def test_offline(folder, monkeypatch, case):
    address, environment, reason = OFFLINE[case]
    address = address.format(port=closed_port())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DownloadError) as caught:
        fetch(address, "net.pth", SHA256, what="weights of net")
    text, place = str(caught.value), folder / "net.pth"
    assert text.startswith("net.pth (weights of net) is not in the cache and cannot be downloaded (")
    assert text.endswith(f". Save it as {place}; it is published at {address}")
    assert reason in text
    assert "\n" not in text
    assert str(place) in caught.value.advice
    assert names(folder) == []


def test_offline_with_the_file(folder, monkeypatch):
    monkeypatch.setenv("KERASCNN_OFFLINE", "1")
    keep(folder, "net.pth", CONTENT)
    assert fetch("http://127.0.0.1/net", "net.pth", SHA256)


def test_error_survives_pickling():
    again = pickle.loads(pickle.dumps(DownloadError("lost", "search", retry=True)))
    assert isinstance(again, OSError)
    assert (str(again), again.advice, again.retry) == ("lost", "search", True)


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
from kerascnn.weights import fetch as transfer
from kerascnn.weights.fetch import fetch
transfer.TIMEOUT = 30
print(fetch(*sys.argv[1:]), flush=True)
heavy = {"keras", "tensorflow", "numpy", "h5py", "rich", "requests"} & set(sys.modules)
sys.exit(f"imports {heavy}" if heavy else 0)
"""


@contextmanager
def process(server):
    words = [sys.executable, "-c", PROGRAM, server.address, "net.pth", SHA256]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def test_two_processes_download_once(server, folder):
    server.acts = [act(stall, upto=HALF), status(500)]
    with process(server) as first:
        assert first.stderr.readline().startswith("downloading net.pth")
        with process(server) as second:
            assert second.stderr.readline().startswith("waiting for another process that is downloading net.pth")
            server.gate.set()
            for child in (first, second):
                out, errors = child.communicate(timeout=30)
                assert out.strip() == str(folder / "net.pth")
                assert child.returncode == 0, errors
    assert server.asked == [None]
    assert names(folder) == ["net.pth", "net.pth.sha256"]


def test_threads_download_once(server):
    server.acts = [act(whole), status(500)]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(server.address, "net.pth", SHA256))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert server.asked == [None]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no such signal")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_killed_process_leaves_partial_file_and_no_lock(server, folder, number):
    server.acts = [act(stall, upto=HALF), ranged]
    with process(server) as child:
        for line in child.stderr:
            if "50 %" in line:
                break
        child.send_signal(getattr(signal, number))
        child.wait(30)
    assert [(row.file, row.complete) for row in list_cached_files()] == [("net.pth", False)]
    assert fetch(server.address, "net.pth", SHA256).read_bytes() == CONTENT
    assert server.asked[0] is None
    assert server.asked[1].startswith("bytes=")


OUTSIDE = ["", ".", "..", "../x", "/x", "a/b", "a\\b", "C:x", "x\0", "x\n", ".x", None, Path("x")]
OURS = ["x.part", "x.lock", "x.sha256", "x.part.json"]


@pytest.mark.parametrize("name", [*OUTSIDE, *OURS, "x.", "x" * 300], ids=lambda name: repr(name)[:20])
def test_bad_file_names(server, name):
    with pytest.raises(ValueError, match="`file` should be a plain file name.*Received: "):
        fetch(server.address, name)
    assert server.asked == []


ADDRESSES = ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd", "http://", "http://a b", "http://a\n", "", None]


@pytest.mark.parametrize("address", ADDRESSES, ids=repr)
def test_bad_addresses(address):
    with pytest.raises(ValueError, match="`address` should be a URL that begins with https://.*Received: "):
        fetch(address, "net.pth")


@pytest.mark.parametrize(
    "hash", ["sha256:", "sha256:1234567", "sha512:12345678", "12345678", "md5:" + "0" * 33, "md5:ghijklmn", None]
)
def test_bad_hashes(hash):
    with pytest.raises(ValueError, match="`hash` should be sha256: or sha1: or md5:.*Received: "):
        fetch("http://127.0.0.1/", "net.pth", hash)


@pytest.mark.parametrize(
    ("before", "after", "followed"),
    [("https", "https", True), ("http", "https", True), ("https", "http", False), ("http", "file", False)],
)
def test_redirects_keep_the_protection(before, after, followed):
    request = Request(f"{before}://127.0.0.1/x")
    found = SafeRedirects().redirect_request(request, None, 302, "Found", {}, f"{after}://127.0.0.1/y")
    assert (found is not None) == followed


def test_folder_that_cannot_be_written(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCNN_HOME", str(keep(tmp_path, "file", b"")))
    text = failure(server)
    assert "KERASCNN_HOME" in text
    assert str(tmp_path / "file" / "weights") in text


def test_folder_in_place_of_the_file(server, folder):
    (folder / "net.pth").mkdir(parents=True)
    assert "directory" in failure(server)
    assert server.asked == []


HOMES = {
    "own": ("linux", {"KERASCNN_HOME": "~/mine"}, "mine"),
    "linux": ("linux", {}, ".cache/kerascnn"),
    "xdg": ("linux", {"XDG_CACHE_HOME": "{home}/xdg"}, "xdg/kerascnn"),
    "macos": ("darwin", {}, "Library/Caches/kerascnn"),
    "windows": ("win32", {"LOCALAPPDATA": "{home}/local"}, "local/kerascnn"),
    "windows without": ("win32", {}, "AppData/Local/kerascnn"),
}


@pytest.mark.parametrize("case", HOMES)
def test_home(tmp_path, monkeypatch, case):
    platform, environment, expected = HOMES[case]
    for name in ("KERASCNN_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "{home}", "USERPROFILE": "{home}"} | environment).items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    monkeypatch.setattr(store.sys, "platform", platform)
    assert home() == tmp_path / expected


def test_lines_of_progress(server, capsys):
    fetch(server.address, "net.pth", what="weights of net")
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "downloading net.pth (weights of net) (0.1 MB)"
    assert others[-1] == "  100 %  0.1 MB"
    assert len(others) <= 10


def test_bar_of_progress(server, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch(server.address, "net.pth", what="[weights] of net")
    assert "100.0/100.0 kB" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_silence(server, capsys, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("KERASCNN_QUIET", "1")
    fetch(server.address, "net.pth", verbose=0 if how == "argument" else "auto")
    assert capsys.readouterr() == ("", "")


def test_cached_and_clear(folder):
    assert list_cached_files() == []
    assert clear_cached_files() == []
    for name in ("b.pth", "a.pth", "a.pth.sha256", "c.h5.part", "c.h5.part.json", "c.h5.lock"):
        keep(folder, name, b"1234")
    assert list_cached_files() == [("a.pth", 4, True), ("b.pth", 4, True), ("c.h5", 4, False)]
    assert clear_cached_files("a*") == [("a.pth", 4, True)]
    assert names(folder) == ["b.pth", "c.h5.lock", "c.h5.part", "c.h5.part.json"]
    with store.file_lock(folder / "c.h5", store.raise_busy):
        assert clear_cached_files() == [("b.pth", 4, True)]
        assert [row.file for row in list_cached_files()] == ["c.h5"]
    assert clear_cached_files() == [("c.h5", 4, False)]
    assert names(folder) == []
