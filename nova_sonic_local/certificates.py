"""A certificate authority of our own, so that clients can check the emulator's certificate like any other.

Bedrock clients build the host name themselves, so the certificate is valid for Bedrock's names too: with
`bedrock-runtime.<region>.amazonaws.com` pointed at this machine and the authority trusted, they run unedited.
"""

import fcntl
import ipaddress
import os
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

REGIONS = (
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
)
_CA_FILE = "nova-sonic-local-ca.pem"
_KEY_FILE = "nova-sonic-local-ca.key"
_CA_DAYS = 825
_LEAF_DAYS = 30


def server_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a TLS context for servers that offers `h2` and `http/1.1`, and the file of the authority that signed its certificate.

    Args:
        directory: where the authority is kept; made when missing, and used again when it is there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    ca_file, key_file = directory / _CA_FILE, directory / _KEY_FILE
    with (directory / f"{_CA_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two emulators that start at once must not make two authorities
        authority, key = _load_authority(ca_file, key_file) or _make_authority(ca_file, key_file)
    leaf = directory / f".leaf-{os.getpid()}-{secrets.token_hex(4)}.pem"
    try:
        _write_private(leaf, _make_leaf(authority, key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(leaf)
    finally:
        leaf.unlink(missing_ok=True)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context, ca_file


def _load_authority(ca_file: Path, key_file: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    try:
        authority = x509.load_pem_x509_certificate(ca_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError):
        return None
    is_ours = isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == authority.public_key()
    if not is_ours or authority.not_valid_after_utc < datetime.now(UTC) + timedelta(days=_LEAF_DAYS):
        return None
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 -- narrows the type checked above
    return authority, key


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _make_authority(ca_file: Path, key_file: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = f"Nova Sonic Local {secrets.token_hex(4)}"
    authority = (
        _builder(subject, _name(subject), key.public_key(), _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_private(key_file, _key_bytes(key))
    _replace(ca_file, authority.public_bytes(serialization.Encoding.PEM), 0o644)
    return authority, key


def _make_leaf(authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName("nova-sonic-local")]
    names += [x509.DNSName(f"bedrock-runtime.{region}.amazonaws.com") for region in REGIONS]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    leaf = (
        _builder("Nova Sonic Local", authority.subject, key.public_key(), _LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return _key_bytes(key) + leaf.public_bytes(serialization.Encoding.PEM)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write_private(path: Path, data: bytes) -> None:
    _replace(path, data, 0o600)


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file so that a reader sees the old or the new one, never half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    draft.replace(path)
