"""Engines behind TLS with a certificate of our own authority, and with passwords: spoken to, or not at all."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils.module_loading import import_string

from chat.hub import layer
from common import redis_places
from config import stores
from tests import engines, servers

pytestmark = pytest.mark.live

PASSWORD = "a-password-of-tests"


@dataclass(frozen=True)
class Authority:
    certificate: Path  # of the authority
    server: Path  # certificate of 127.0.0.1
    key: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    made = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    now, keys = datetime.datetime.now(datetime.UTC), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    identifier = x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key())
    for number, extensions in enumerate(
        ([x509.BasicConstraints(ca=True, path_length=0), identifier], [x509.BasicConstraints(False, None), address])
    ):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        signed = builder.sign(keys[0], hashes.SHA256())
        (made.certificate, made.server)[number].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    made.key.write_bytes(keys[1].private_bytes(*encoding))
    return made


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an operator who names the authority to OpenSSL."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))


@pytest.fixture
async def valkey(authority: Authority) -> AsyncIterator[int]:
    """The port of a TLS server that ends it before a Valkey with a password."""
    engine = engines.Engine()
    try:
        node = engine.valkey("valkey", "--requirepass", PASSWORD)
        engine.nodes = [node]
        await asyncio.to_thread(engine.start)
    except servers.NotAvailable as error:
        pytest.skip(f"needs Valkey: {error}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server, authority.key)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, back = await asyncio.open_connection("127.0.0.1", node.port)
        await asyncio.gather(pipe(reader, back), pipe(to, writer), return_exceptions=True)

    door = await asyncio.start_server(through, "127.0.0.1", 0, ssl=context)
    yield door.sockets[0].getsockname()[1]
    door.close()
    await asyncio.to_thread(engine.stop)


@pytest.fixture
def nats(authority: Authority) -> Iterator[int]:
    try:
        engine = engines.Nats()
        node = engine.nodes[0]
        node.command[-2:] = ["--user", "alviar", "--pass", PASSWORD]  # in place of its routes to the others
        node.command += ["--tls", "--tlscert", str(authority.server), "--tlskey", str(authority.key)]
        engine.nodes = [node]
        engine.start()
    except servers.NotAvailable as error:
        pytest.skip(f"needs NATS: {error}")
    yield node.port
    engine.stop()


@asynccontextmanager
async def wakes(url: str) -> AsyncIterator[tuple[Any, list[bytes]]]:
    heard: list[bytes] = []
    path, urls = stores.wakes("" if url.startswith("redis") else url, url if url.startswith("redis") else "")
    made = import_string(path)(urls, "one", heard.append, lambda _: None)
    made.start()
    await made.subscribe([layer.ALL])
    try:
        yield made, heard
    finally:
        await made.stop()


async def is_heard(url: str) -> bool:
    """Return whether a wake comes back; one that cannot breaks the link."""
    async with wakes(url) as (made, heard), asyncio.timeout(60):
        while not heard:
            await asyncio.sleep(0.02)
            if made.is_broken:
                return False
            if layer.ALL in made.subscribed:
                await made.publish([(layer.ALL, b"there")])
        return True


async def test_redis_over_tls_with_a_password_is_spoken_to(valkey: int, authority: Authority, trusted: None) -> None:
    url = f"rediss://:{PASSWORD}@127.0.0.1:{valkey}/0"
    assert await is_heard(url)
    client = redis_places.client(url, timeout_s=20)
    assert await asyncio.to_thread(client.ping)


async def test_its_authority_can_stand_in_the_address(valkey: int, authority: Authority) -> None:
    assert await is_heard(f"rediss://:{PASSWORD}@127.0.0.1:{valkey}/0?ssl_ca_certs={authority.certificate}")


async def test_redis_of_an_unknown_authority_or_with_another_password_is_not(valkey: int, authority: Authority) -> None:
    assert not await is_heard(f"rediss://:{PASSWORD}@127.0.0.1:{valkey}/0")
    assert not await is_heard(f"rediss://:wrong@127.0.0.1:{valkey}/0?ssl_ca_certs={authority.certificate}")


async def test_nats_over_tls_with_a_password_is_spoken_to(nats: int, trusted: None) -> None:
    assert await is_heard(f"tls://alviar:{PASSWORD}@127.0.0.1:{nats}")


async def test_nats_of_an_unknown_authority_is_not(nats: int) -> None:
    assert not await is_heard(f"tls://alviar:{PASSWORD}@127.0.0.1:{nats}")


async def test_nats_with_another_password_is_not(nats: int, trusted: None) -> None:
    assert not await is_heard(f"tls://alviar:wrong@127.0.0.1:{nats}")


async def test_a_server_that_says_it_has_no_tls_gets_no_password() -> None:
    """As somebody in between would say it."""
    said: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","auth_required":true,"max_payload":1048576}\r\n')
        said.append(await reader.read(65_536))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        assert not await is_heard(f"tls://alviar:{PASSWORD}@127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(60):
            while not said:
                await asyncio.sleep(0.02)
    assert set(said) == {b""}
