"""Open web addresses in the networks of companies: proxies, certificates, the settings of the Hugging Face hub."""

import os
import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    ProxyHandler,
    Request,
    build_opener,
    getproxies,
    proxy_bypass,
)

from ..support.progress import is_flag_set

HUB = "https://huggingface.co"
LINKED_HASH = "X-Linked-Etag"  # the hub's header with the sha256 of a large file
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # OpenSSL itself reads SSL_CERT_FILE


class BlockedError(Exception):
    """A certificate, a proxy or a setting stands in the way; ``advice`` names the variables that help."""

    def __init__(self, reason, advice):
        super().__init__(reason)
        self.advice = advice


def hub_endpoint():
    """Address of the Hugging Face hub, or of what HF_ENDPOINT names in its place."""
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or HUB
    if not re.fullmatch(r"https?://[!-~]+", endpoint):
        reason = f"HF_ENDPOINT should be a URL that begins with https://. Received: {endpoint!r}"
        raise BlockedError(reason, f"unset HF_ENDPOINT, or set it to {HUB}")
    return endpoint


def resolve_endpoint(address):
    """The address to request: HF_ENDPOINT replaces the Hugging Face hub."""
    return hub_endpoint() + address.removeprefix(HUB) if address.startswith(HUB + "/") else address


def is_on_hub(address):
    """Whether an address is on the Hugging Face hub, or on what HF_ENDPOINT names in its place."""
    endpoint, parts = urlsplit(hub_endpoint()), urlsplit(address)
    return (parts.scheme, parts.netloc) == (endpoint.scheme, endpoint.netloc)


def offline_reason(address):
    """Which environment variable forbids to download a published address; "" if none does."""
    if is_flag_set("KERASCNN_OFFLINE"):
        return "KERASCNN_OFFLINE is set"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):  # as huggingface_hub reads it
        return "HF_HUB_OFFLINE is set" if address.startswith(HUB + "/") else ""
    return ""


def hub_token(address):
    """The token of HF_TOKEN for an address on the hub; "" for every other address."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token or not is_on_hub(address):
        return ""
    if not re.fullmatch(r"[!-~]+", token):
        raise BlockedError("HF_TOKEN should have visible ASCII characters only", "unset HF_TOKEN")
    return token


def open_address(address, headers, timeout):
    """Open an address and follow its redirects.

    Returns:
        (response, sha256): the hash is what the server that was asked announces, before any redirect to another
        server; "" if it announces none.
    """
    request = Request(address, headers=headers)
    token = hub_token(address)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")  # never sent after a redirect

    redirects = SafeRedirects()
    handlers = [redirects, NamedProxies(proxy_settings()), HTTPSHandler(context=certificate_context())]
    try:
        response = build_opener(*handlers).open(request, timeout=timeout)
    except HTTPError as error:
        if error.code != 407:
            raise
        error.close()
        raise blocked_by_proxy(redirects.address or address, "407 Proxy Authentication Required") from None
    except URLError as error:
        raise explain_failure(redirects.address or address, error) from None

    if not redirects.address or is_same_server(address, redirects.address):
        redirects.note_hash(response.headers)
    return response, redirects.sha256


def is_same_server(address, other):
    return urlsplit(address).netloc == urlsplit(other).netloc


class SafeRedirects(HTTPRedirectHandler):
    """Follow redirects to HTTP addresses only, and never from HTTPS to HTTP.

    Attributes:
        address: the address of the last redirect; "" if there was none.
        sha256: the hash that the first server announced: "sha256:" and 64 digits, or "".
    """

    def __init__(self):
        self.address = self.sha256 = self.first_server = ""

    def note_hash(self, headers):
        """Remember the hash that an answer announces, unless an earlier one did."""
        digits = headers.get(LINKED_HASH, "").strip('"').lower()
        if not self.sha256 and re.fullmatch("[0-9a-f]{64}", digits):
            self.sha256 = f"sha256:{digits}"

    def redirect_request(self, asked, file, code, message, headers, address):
        self.first_server = self.first_server or asked.full_url
        if is_same_server(self.first_server, asked.full_url):
            self.note_hash(headers)

        allowed = ("https",) if urlsplit(asked.full_url).scheme == "https" else ("http", "https")
        if urlsplit(address).scheme not in allowed:
            return None
        self.address = address
        request = super().redirect_request(asked, file, code, message, headers, address)
        if request is not None:
            request.remove_header("Proxy-authorization")  # the next server may be reached without the proxy
        return request


# Proxies


def proxy_settings():
    """{scheme: proxy} of the environment or the system; ALL_PROXY is for schemes without a proxy of their own."""
    proxies = getproxies()
    everything = proxies.pop("all", "")
    if everything:
        proxies = {"http": everything, "https": everything} | proxies
    return proxies


class NamedProxies(ProxyHandler):
    """Use the proxies of the settings, except SOCKS proxies, which are refused."""

    def proxy_open(self, request, proxy, scheme):
        bypassed = request.host and proxy_bypass(request.host)
        if proxy.lower().startswith("socks") and not bypassed:
            reason = f"{hide_password(proxy)} of {proxy_variable(scheme)} is a SOCKS proxy, which is not supported"
            advice = f"set {scheme.upper()}_PROXY to an HTTP proxy, or add {request.host} to NO_PROXY"
            raise BlockedError(reason, advice)
        return super().proxy_open(request, proxy, scheme)


def proxy_variable(scheme):
    """The environment variable that sets the proxy of a scheme."""
    variables = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in variables if os.environ.get(name)), "the system's settings")


def hide_password(proxy):
    """The address of a proxy without its user and password."""
    return re.sub(r"//[^/]*@", "//", proxy)


def find_proxy(address):
    """The proxy that an address is requested through; "" if none."""
    parts = urlsplit(address)
    return "" if proxy_bypass(parts.netloc) else proxy_settings().get(parts.scheme, "")


def describe_proxy(address):
    """Words for the proxy that an address is requested through."""
    scheme = urlsplit(address).scheme
    return f"the proxy {hide_password(find_proxy(address))} of {proxy_variable(scheme)}"


def blocked_by_proxy(address, answer):
    """The exception for a proxy that refuses a connection."""
    parts = urlsplit(address)
    return BlockedError(
        f"{describe_proxy(address)} refuses the connection to {parts.hostname}: {answer}",
        f"set {proxy_variable(parts.scheme)} to http://USER:PASSWORD@HOST:PORT, or add {parts.hostname} to NO_PROXY",
    )


# Certificates


def certificate_context():
    """The certificates to trust: those of REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, otherwise the system's."""
    variable = next((name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        return ssl.create_default_context()

    path = os.path.expanduser(os.environ[variable])
    try:
        if os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # SSLError is one too
        reason = f"{variable} should be a file with certificates in PEM format. Received: {path} ({error})"
        raise BlockedError(reason, f"set {variable} to such a file, or unset it") from None


def explain_failure(address, error):
    """The exception for a connection that failed: a `BlockedError`, or the error with the proxy named."""
    reason = error.reason
    if isinstance(reason, ssl.SSLCertVerificationError):
        return untrusted_certificate(address, reason)
    if not find_proxy(address):
        return error
    if "Tunnel connection failed" in str(reason):
        return blocked_by_proxy(address, str(reason).removeprefix("Tunnel connection failed: "))
    return URLError(f"{describe_proxy(address)} cannot be reached: {reason}; check that variable, or unset it")


def untrusted_certificate(address, error):
    variables = (*CERTIFICATE_VARIABLES, "SSL_CERT_FILE")
    variable = next((name for name in variables if os.environ.get(name)), None)
    trusted = f"{variable} is {os.environ[variable]}" if variable else f"none of {', '.join(variables)} is set"
    return BlockedError(
        f"the certificate of {urlsplit(address).hostname} is not trusted: {error.verify_message}",
        "in a company's network set REQUESTS_CA_BUNDLE or SSL_CERT_FILE to a PEM file with the company's root "
        f"certificate ({trusted})",
    )


# Requests to wait


def seconds_to_wait(headers):
    """Seconds that a Retry-After header asks to wait, given in seconds or as a date; 0 without one."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round((moment - datetime.now(UTC)).total_seconds()))
