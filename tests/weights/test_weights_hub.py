"""The hub, mirrors, other libraries' folders, companies' networks: what is fetched, and what a user reads."""

import hashlib
import re
import shutil
import ssl
import subprocess
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from published import checkpoint
from safetensors.numpy import save
from server import act, ranged, serve, status, whole

from kerascnn import build_model
from kerascnn.weights import caches
from kerascnn.weights import fetch as transfer
from kerascnn.weights.connections import seconds_to_wait
from kerascnn.weights.fetch import DownloadError, fetch
from kerascnn.weights.load import open_weights, source_of_file
from kerascnn.zoo.registry import weights_sources

CONTENT = bytes(range(256)) * 200
OTHER = b"\0" * len(CONTENT)
PTH = b"PK" + CONTENT
DIGITS, OTHER_DIGITS, PTH_DIGITS = (hashlib.sha256(content).hexdigest() for content in (CONTENT, OTHER, PTH))
SHA256 = f"sha256:{DIGITS}"
COMMIT, LATER = "a" * 40, "b" * 40
HUB = "https://huggingface.co/timm/net.a1_in1k/resolve/main/model.safetensors"
FILE = "net.a1_in1k.safetensors"
WHAT = "weights of net, timm/a1_in1k"
LABEL = f"{FILE} ({WHAT})"
VARIABLES = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_HUB_OFFLINE",
    "HF_HOME",
    "HF_HUB_CACHE",
    "TORCH_HOME",
    "KERAS_HOME",
    "XDG_CACHE_HOME",
    "KERASCNN_OFFLINE",
    "KERASCNN_QUIET",
]


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """An empty home folder and cache, no setting of this machine, no waiting."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("KERASCNN_HOME", str(tmp_path / "ours"))
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    monkeypatch.setattr(transfer, "TIMEOUT", 5)


@pytest.fixture
def hub(monkeypatch):
    """A server that HF_ENDPOINT names in place of the hub."""
    with serve(CONTENT) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address.removesuffix("/file"))
        yield server


@pytest.fixture
def other_server():
    with serve(CONTENT) as server:
        yield server


def fetch_net(hash="", **options):
    return fetch(HUB, FILE, hash, what=WHAT, **options)


def failure(hash="", **options):
    """The error of a fetch that fails, as its text and advice."""
    with pytest.raises(DownloadError) as caught:
        fetch_net(hash, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(LABEL)
    return text, caught.value.advice


def redirect_to(server, digits):
    """The hub's own answer: the hash and the address of the bytes, which another server has."""
    return status(302, Location=server.address, X_Linked_Etag=f'"{digits}"', X_Repo_Commit=COMMIT)


def stamp(path):
    return path.with_name(path.name + ".sha256").read_text()


# The announced hash


def test_hash_of_the_first_answer_is_checked_and_remembered(hub, other_server, tmp_path, capsys):
    hub.acts = [redirect_to(other_server, DIGITS)]
    path = fetch_net()
    assert path == tmp_path / "ours" / "weights" / FILE
    assert path.read_bytes() == CONTENT
    assert stamp(path).split()[0] == DIGITS
    assert stamp(path).split()[-1] == SHA256
    assert hub.requests[0][0] == "/timm/net.a1_in1k/resolve/main/model.safetensors"
    assert "not verified" not in capsys.readouterr().err
    assert fetch_net() == path
    assert len(hub.asked) == len(other_server.asked) == 1


def test_hash_without_a_redirect_and_after_one_on_the_hub(hub):
    hub.acts = [status(307, Location="/renamed"), act(whole, X_Linked_Etag=f'"{DIGITS}"')]
    assert stamp(fetch_net()).split()[-1] == SHA256


@pytest.mark.parametrize("hash", ["", SHA256[:15]], ids=["no hash", "digits"])
def test_server_that_sends_other_bytes_than_announced(hub, other_server, tmp_path, hash, capsys):
    hub.acts, other_server.acts = [redirect_to(other_server, DIGITS)], [act(whole, body=OTHER)]
    text, _ = failure(hash)
    announcer = f"127.0.0.1:{hub.server_port}"
    assert text == (
        f"{LABEL} should have the hash {SHA256}, which {announcer} announces. "
        f"Received: sha256:{OTHER_DIGITS}, in two attempts"
    )
    assert not (tmp_path / "ours" / "weights" / FILE).exists()
    assert "downloading it again from the start" in capsys.readouterr().err


def test_server_that_announces_another_file_is_refused_before_the_download(hub, other_server):
    hub.acts = [act(whole, body=OTHER, X_Linked_Etag=f'"{OTHER_DIGITS}"')]
    text, _ = failure(SHA256)
    announcer = f"127.0.0.1:{hub.server_port}"
    assert text == (
        f"{LABEL} should have the hash {SHA256}. Received: sha256:{OTHER_DIGITS}, which {announcer} announces"
    )
    assert len(hub.asked) == 1


def test_hash_of_the_second_server_does_not_count(hub, other_server, capsys):
    hub.acts = [status(302, Location=other_server.address)]
    other_server.acts = [act(whole, body=OTHER, X_Linked_Etag=f'"{OTHER_DIGITS}"')]
    assert fetch_net().read_bytes() == OTHER
    assert f"{LABEL} was not verified: 127.0.0.1:{hub.server_port} announced no hash; it has sha256:" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("tag", [None, '"1"', 'W/"x"', f'"{DIGITS[:40]}"'])
def test_no_hash_is_said(hub, tag, capsys):
    hub.acts = [act(whole, X_Linked_Etag=tag)]
    path = fetch_net()
    assert f"was not verified: 127.0.0.1:{hub.server_port} announced no hash; it has {SHA256}" in (
        capsys.readouterr().err
    )
    path.write_bytes(OTHER)
    assert fetch_net().read_bytes() == CONTENT
    assert "is damaged" in capsys.readouterr().err


def test_resumed_file_that_has_changed_meanwhile(hub):
    half = len(CONTENT) // 2
    before = act(whole, body=OTHER, upto=half, X_Linked_Etag=f'"{OTHER_DIGITS}"')
    hub.acts = [before, act(whole, X_Linked_Etag=f'"{DIGITS}"')]
    assert fetch_net().read_bytes() == CONTENT
    assert hub.asked == [None, f"bytes={half}-", None]


def test_pinned_revision_is_requested(hub):
    fetch(HUB.replace("main", COMMIT), FILE, SHA256)
    assert hub.requests[0][0] == f"/timm/net.a1_in1k/resolve/{COMMIT}/model.safetensors"


# The second address


def mirror_of(server, digits=PTH_DIGITS):
    return server.address.replace("/file", f"/releases/net_a1-{digits[:8]}.pth")


def test_mirror_is_asked_when_the_hub_fails(hub, other_server, tmp_path, capsys):
    hub.acts, other_server.acts = [status(404)], [act(whole, body=PTH)]
    path = fetch_net(mirror=mirror_of(other_server))
    assert path == tmp_path / "ours" / "weights" / f"net_a1-{PTH_DIGITS[:8]}.pth"
    assert path.read_bytes() == PTH
    err = capsys.readouterr().err
    assert f"HTTP status 404 (Not Found); trying {mirror_of(other_server)}" in err
    assert fetch_net(mirror=mirror_of(other_server)) == path  # neither is asked again
    assert len(hub.asked) == len(other_server.asked) == 1


def test_mirror_is_asked_when_the_hub_breaks_off(hub, other_server, tmp_path):
    hub.acts, other_server.acts = [act(whole, upto=1000)], [act(whole, body=PTH)]
    path = fetch_net(mirror=mirror_of(other_server))
    assert path.read_bytes() == PTH
    assert {file.name for file in path.parent.iterdir()} == {path.name, path.name + ".sha256"}


def test_mirror_is_not_asked_when_the_hub_answers(hub, other_server):
    assert fetch_net(SHA256, mirror=mirror_of(other_server)).name == FILE
    assert other_server.asked == []


def test_mirror_with_other_bytes_is_refused(hub, other_server):
    hub.acts, other_server.acts = [status(404)], [act(whole, body=OTHER)]
    text, _ = failure(mirror=mirror_of(other_server))
    assert "HTTP status 404 (Not Found). Its second address failed too: net_a1-" in text
    assert f"should have the hash sha256:{PTH_DIGITS[:8]}. Received: sha256:{OTHER_DIGITS}, in two attempts" in text


def test_mirror_needs_digits():
    with pytest.raises(ValueError, match="`mirror` should be a URL whose file name ends in digits .*Received: "):
        fetch_net(mirror="https://127.0.0.1/net.pth")


def test_offline_asks_no_mirror(hub, other_server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    text, advice = failure(mirror=mirror_of(other_server))
    assert text.startswith(f"{LABEL} is not in the cache and cannot be downloaded (HF_HUB_OFFLINE is set). Save it as ")
    assert advice.startswith("copy it from another computer to ")
    assert hub.asked == other_server.asked == []
    assert fetch(other_server.address, "elsewhere.pth").read_bytes() == CONTENT  # which is not the hub


# Waiting


def test_retry_after_is_obeyed(hub, monkeypatch, capsys):
    pauses = []
    monkeypatch.setattr(transfer.time, "sleep", pauses.append)
    hub.acts = [status(429, Retry_After=7), ranged]
    assert fetch_net().read_bytes() == CONTENT
    assert pauses == [7]
    assert f"127.0.0.1:{hub.server_port} asks to wait 7 seconds" in capsys.readouterr().err


def test_long_retry_after_ends_at_once(hub, monkeypatch):
    monkeypatch.setattr(transfer.time, "sleep", None)
    hub.acts = [status(429, Retry_After=3600)]
    text, advice = failure()
    assert text.endswith("HTTP status 429 (Too Many Requests), and the server asks to wait 3,600 seconds")
    assert advice == "try again in 60 minutes"
    assert len(hub.asked) == 1


def test_forms_of_retry_after():
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert 85 <= seconds_to_wait({"Retry-After": format_datetime(soon, usegmt=True)}) <= 90
    assert [seconds_to_wait({"Retry-After": text}) for text in ("5", "", "soon", "-3", "1.5")] == [5, 0, 0, 0, 0]
    assert seconds_to_wait({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert seconds_to_wait({}) == 0


# Tokens


def test_token_goes_to_the_hub_alone(hub, other_server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.acts = [redirect_to(other_server, DIGITS)]
    fetch_net()
    fetch(other_server.address, "elsewhere.pth")
    assert hub.requests[0][1]["Authorization"] == "Bearer hf_secret"
    assert all("Authorization" not in headers for _, headers in other_server.requests)


def test_refused_token_is_named(hub, monkeypatch):
    hub.acts = [status(401)]
    assert failure()[0].endswith("HTTP status 401 (Unauthorized)")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert failure()[0].endswith("HTTP status 401 (Unauthorized), asked with the token of HF_TOKEN")


@pytest.mark.parametrize(("variable", "value"), [("HF_TOKEN", "a\nb"), ("HF_ENDPOINT", "mirror.example")])
def test_settings_that_cannot_be_used(hub, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    text, advice = failure()
    assert f"{variable} should " in text
    assert f"unset {variable}" in advice
    assert "hf_secret" not in text


# Proxies

OUTSIDE = "http://weights.invalid/net.pth"


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
def test_proxy_is_used(other_server, monkeypatch, variable):
    monkeypatch.setenv(variable, other_server.address.removesuffix("/file"))
    assert fetch(OUTSIDE, "net.pth").read_bytes() == CONTENT
    assert other_server.requests[0][0] == OUTSIDE


def test_no_proxy(other_server, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch(other_server.address, "net.pth").read_bytes() == CONTENT


def proxy_failure(address):
    with pytest.raises(DownloadError) as caught:
        fetch(address, "net.pth")
    assert caught.value.retry == ("cannot be reached" not in str(caught.value))
    text = re.search(r"^net.pth is not in the cache and cannot be downloaded \((.*)\)\. Save it as ", str(caught.value))
    return text[1], caught.value.advice


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_wants_a_password(other_server, monkeypatch, scheme):
    other_server.acts = [status(407)]
    variable = f"{scheme.upper()}_PROXY"
    proxy = other_server.address.removesuffix("/file")
    monkeypatch.setenv(variable, proxy.replace("//", "//person:secret@"))
    text, advice = proxy_failure(OUTSIDE.replace("http", scheme))
    assert text.startswith(f"the proxy {proxy} of {variable} refuses the connection to weights.invalid: 407 ")
    assert advice == f"set {variable} to http://USER:PASSWORD@HOST:PORT, or add weights.invalid to NO_PROXY"
    assert "secret" not in text


def test_proxy_that_is_not_there(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    text, _ = proxy_failure(OUTSIDE)
    assert text.startswith("the proxy http://127.0.0.1:9 of HTTP_PROXY cannot be reached: ")
    assert text.endswith("; check that variable, or unset it")


def test_socks_proxy_is_refused(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    text, advice = proxy_failure(OUTSIDE)
    assert text.startswith("socks5://127.0.0.1:1080 of ALL_PROXY is a SOCKS proxy, which is not supported")
    assert advice == "set HTTP_PROXY to an HTTP proxy, or add weights.invalid to NO_PROXY"


# Certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl, which makes a certificate for the server, is not installed")
    path = tmp_path_factory.mktemp("certificates") / "company.pem"
    key = path.with_name("key.pem")
    words = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=company",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run([program, *words, "-keyout", key, "-out", path], check=True, capture_output=True)
    return path, key


@pytest.fixture
def secure_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serve(CONTENT, context) as server:
        yield server


def test_certificate_that_is_not_trusted(secure_server):
    text, advice = proxy_failure(secure_server.address)
    assert text.startswith("the certificate of 127.0.0.1 is not trusted: self")
    assert advice == (
        "in a company's network set REQUESTS_CA_BUNDLE or SSL_CERT_FILE to a PEM file with the company's root "
        "certificate (none of REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE is set)"
    )
    assert advice in text
    assert secure_server.asked == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificate_that_a_variable_names(secure_server, certificate, monkeypatch, variable):
    monkeypatch.setenv(variable, str(certificate[0]))
    assert fetch(secure_server.address, "net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_bundle_that_cannot_be_read(secure_server, tmp_path, monkeypatch, content):
    path = tmp_path / "bundle.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    text, advice = proxy_failure(secure_server.address)
    assert f"REQUESTS_CA_BUNDLE should be a file with certificates in PEM format. Received: {path}" in text
    assert advice == "set REQUESTS_CA_BUNDLE to such a file, or unset it"


# Files of other libraries


def place(path, content=CONTENT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def place_on_hub(folder, content=CONTENT, commit=COMMIT, digits=DIGITS):
    """A file as huggingface_hub lays it: a link in a snapshot to a blob that its sha256 names."""
    repository = folder / "models--timm--net.a1_in1k"
    blob = place(repository / "blobs" / digits, content)
    link = repository / "snapshots" / commit / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../blobs/{blob.name}")
    place(repository / "refs" / "main", commit.encode())
    return link


FOLDERS = {  # variable, its value below the home folder, the folder of the files
    "torch": (None, "", ".cache/torch/hub/checkpoints"),
    "TORCH_HOME": ("TORCH_HOME", "mine", "mine/hub/checkpoints"),
    "torch in XDG_CACHE_HOME": ("XDG_CACHE_HOME", "xdg", "xdg/torch/hub/checkpoints"),
    "keras": (None, "", ".keras/models"),
    "KERAS_HOME": ("KERAS_HOME", "mine", "mine/models"),
}


@pytest.mark.parametrize("case", FOLDERS)
@pytest.mark.parametrize("hash", [SHA256, SHA256[:15], "md5:" + hashlib.md5(CONTENT).hexdigest()], ids=lambda h: h[:9])
def test_files_of_torch_and_keras(other_server, tmp_path, monkeypatch, capsys, case, hash):
    variable, value, folder = FOLDERS[case]
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "home" / value))
    there = place(tmp_path / "home" / folder / "net.pth")
    path = fetch(other_server.address, "net.pth", hash)
    assert path.samefile(there)
    assert capsys.readouterr().err == f"using {there} for net.pth\n"
    monkeypatch.setattr(transfer, "other_copies", None)  # from now on it is in our cache
    assert fetch(other_server.address, "net.pth", hash) == path == tmp_path / "ours" / "weights" / "net.pth"
    assert other_server.asked == []


HUB_FOLDERS = {
    "default": (None, "", ".cache/huggingface/hub"),
    "HF_HOME": ("HF_HOME", "mine", "mine/hub"),
    "HF_HUB_CACHE": ("HF_HUB_CACHE", "mine", "mine"),
    "XDG_CACHE_HOME": ("XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub"),
}


@pytest.mark.parametrize("case", HUB_FOLDERS)
@pytest.mark.parametrize("hash", ["", SHA256[:15]], ids=["no hash", "digits"])
def test_files_of_the_hub(hub, tmp_path, monkeypatch, case, hash):
    variable, value, folder = HUB_FOLDERS[case]
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "home" / value))
    there = place_on_hub(tmp_path / "home" / folder)
    path = fetch_net(hash)
    assert path.samefile(there)
    assert stamp(path).split()[0] == DIGITS
    assert fetch_net(hash) == path
    assert hub.asked == []


def test_wrong_file_is_passed_over_and_named(hub, tmp_path, capsys):
    torch = place(tmp_path / "home" / ".cache/torch/hub/checkpoints" / FILE, OTHER)
    there = place_on_hub(tmp_path / "home" / ".cache/huggingface/hub", OTHER)
    path = fetch_net(SHA256)
    assert path.read_bytes() == CONTENT
    assert len(hub.asked) == 1
    lines = capsys.readouterr().err.splitlines()
    for wrong, line in zip((torch, there), lines, strict=False):
        reason = f"it should have the hash {SHA256}. Received: sha256:{OTHER_DIGITS}"
        assert line == f"{wrong} is passed over: {reason}"


def test_copy_without_any_hash_is_passed_over(hub, tmp_path, capsys):
    place(tmp_path / "home" / ".keras/models" / FILE)
    fetch_net()
    assert len(hub.asked) == 1
    assert "is passed over: no hash is published that it could be compared with" in capsys.readouterr().err


def test_pinned_revision_in_the_hub_folder(hub, tmp_path):
    place_on_hub(tmp_path / "home" / ".cache/huggingface/hub", commit=LATER)
    assert fetch(HUB.replace("main", LATER), FILE).is_symlink()
    fetch(HUB.replace("main", COMMIT), "other.safetensors")
    assert len(hub.asked) == 1


def test_mirror_in_torch_folder_is_used_before_the_hub_is_asked(hub, other_server, tmp_path):
    name = f"net_a1-{PTH_DIGITS[:8]}.pth"
    there = place(tmp_path / "home" / ".cache/torch/hub/checkpoints" / name, PTH)
    assert fetch_net(mirror=mirror_of(other_server)).samefile(there)
    assert hub.asked == other_server.asked == []


def test_removed_copy_is_downloaded(other_server, tmp_path):
    there = place(tmp_path / "home" / ".keras/models/net.h5")
    path = fetch(other_server.address, "net.h5", SHA256)
    there.unlink()
    assert fetch(other_server.address, "net.h5", SHA256) == path
    assert not path.is_symlink()
    assert len(other_server.asked) == 1


def test_copy_is_used_where_no_link_can_be_made(other_server, tmp_path, monkeypatch):
    def refuse(path, target):
        raise PermissionError(13, "Permission denied", str(path))

    there = place(tmp_path / "home" / ".keras/models/net.h5")
    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert fetch(other_server.address, "net.h5", SHA256) == there
    assert other_server.asked == []


def test_offline_with_a_copy(tmp_path, monkeypatch):
    there = place_on_hub(tmp_path / "home" / ".cache/huggingface/hub")
    monkeypatch.setenv("KERASCNN_OFFLINE", "1")
    assert fetch_net().samefile(there)


# Which row a file belongs to


def test_weights_of_the_hub_folder_are_loaded_without_a_download(tmp_path, monkeypatch, rng):
    monkeypatch.setenv("KERASCNN_OFFLINE", "1")
    content = save(checkpoint("squeezenet1_1", "torchvision", rng))
    digits = hashlib.sha256(content).hexdigest()
    there = place_on_hub(tmp_path / "home" / ".cache/huggingface/hub", content, digits=digits)
    row = replace(weights_sources()["squeezenet1_1"][0], address=HUB, file=FILE, hash="")
    by_name = build_model("squeezenet1_1", weights=row)
    by_path = build_model("squeezenet1_1", weights=there)
    for first, second in zip(by_name.get_weights(), by_path.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_weights_of_a_row_come_from_its_mirror(hub, monkeypatch, rng):
    content = save(checkpoint("squeezenet1_1", "torchvision", rng))
    digits = hashlib.sha256(content).hexdigest()
    with serve(content) as server:
        mirror = mirror_of(server, digits).replace(".pth", ".safetensors")
        row = replace(weights_sources()["squeezenet1_1"][0], address=HUB, file=FILE, hash="", mirror=mirror)
        hub.acts = [status(503)]
        weights_file = open_weights("squeezenet1_1", row)
    assert weights_file.path.name == mirror.rpartition("/")[2]
    monkeypatch.setattr("kerascnn.weights.load.weights_sources", lambda: {"squeezenet1_1": (row,)})
    assert source_of_file("squeezenet1_1", weights_file.path) is row


@pytest.mark.parametrize("network", ["resnet34", "inception_v3"])
def test_hub_path_gets_the_scaling_of_its_row(network, tmp_path):
    rows = [row for row in weights_sources()[network] if row.publisher == "timm"]
    assert len({row.scale for row in rows}) == 2
    for row in rows:
        folder = tmp_path / f"models--timm--{row.file.removesuffix('.safetensors')}"
        content = save({"conv1.weight": np.zeros((1, 1, 1, 1), "f4")})
        weights_file = open_weights(network, place(folder / "snapshots" / COMMIT / "model.safetensors", content))
        assert weights_file.source is row
        assert weights_file.scale(network, "timm") == row.scale
        assert weights_file.possible_scales(network, "torchvision") == {row.scale}


def test_hub_file_of_an_unknown_repository_warns_that_its_scaling_is_a_guess(tmp_path, rng):
    arrays = {name: np.asarray(array) for name, array in checkpoint("resnet34", "timm", rng).items()}
    path = place(tmp_path / "models--timm--resnet34.mine" / "snapshots" / COMMIT / "model.safetensors", save(arrays))
    guess = "so scale='torch' is a guess; published weights of resnet34 expect tf or torch: set `scale` in build_model"
    with pytest.warns(UserWarning, match=guess):
        build_model("resnet34", weights=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build_model("resnet34", weights=path, scale="tf").get_layer("scale").scales_like("tf")


@pytest.mark.parametrize("network", ["resnet34", "inception_v3", "resnet50"])
def test_hub_path_finds_its_row(network, tmp_path):
    """Each path as huggingface_hub lays it finds the row of its repository, with its pixel scaling."""
    rows = [row for row in weights_sources()[network] if row.publisher == "timm"]
    for row in rows:
        repository = row.file.removesuffix(".safetensors")
        folder = tmp_path / f"models--timm--{repository}"
        assert source_of_file(network, folder / "snapshots" / COMMIT / "model.safetensors") is row
        assert source_of_file(network, folder / "blobs" / DIGITS) is row
        assert source_of_file(network, tmp_path / row.file) is row
    assert source_of_file(network, tmp_path / "models--timm--unknown/snapshots/x/model.safetensors") is None
    assert source_of_file(network, tmp_path / "model.safetensors") is None


def test_addresses_of_the_table_are_understood():
    rows = [row for rows in weights_sources().values() for row in rows if row.publisher == "timm"]
    for row in rows:
        repository, _, file = caches.parse_hub_address(row.address)
        assert repository == f"timm/{row.file.removesuffix('.safetensors')}"
        assert file == "model.safetensors"
