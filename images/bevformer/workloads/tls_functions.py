"""Digests, ciphers and keys of every OpenSSL in the image: Python's own, and those in wheels."""

import ctypes
import hashlib
import ssl
import sysconfig
from pathlib import Path

TEXT = b"vintage" * 1000
CURVES = {"P-256": 415, "P-384": 715, "sect283k1": 729}  # OpenSSL's numbers
SHA256 = 672
X25519 = 1034
PUBLIC_EXPONENT = 65537
NO_CURVE = "sect283k1"  # distributions leave binary curves out


def python_s_own() -> None:
    """Digests of every name against the same text in two pieces; a TLS context with its curves."""
    for name in sorted(hashlib.algorithms_available):
        try:
            whole, pieces = hashlib.new(name, TEXT), hashlib.new(name, TEXT[:999])
        except ValueError:  # a digest that this OpenSSL keeps in its legacy part
            continue
        pieces.update(TEXT[999:])
        length = () if whole.digest_size else (32,)
        assert whole.digest(*length) == pieces.digest(*length), name
    assert len(hashlib.scrypt(b"a", salt=b"b", n=16, r=1, p=1)) == 64
    assert ssl.create_default_context().get_ciphers()


class Library:
    """One libcrypto by ctypes; every call is checked."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))

    def pointer(self, name: str, *arguments: object) -> ctypes.c_void_p:
        """Call a function that returns an object."""
        function = getattr(self._library, name)
        function.restype = ctypes.c_void_p
        found = function(*arguments)
        assert found, f"{name} returned nothing"
        return ctypes.c_void_p(found)

    def check(self, name: str, *arguments: object) -> None:
        """Call a function that returns 1 where it succeeded."""
        assert getattr(self._library, name)(*arguments) == 1, name

    def digest(self, name: str, data: bytes, size: int) -> bytes:
        """Return a one-call digest."""
        out = ctypes.create_string_buffer(size)
        self.pointer(name, data, ctypes.c_size_t(len(data)), out)
        return out.raw


def digests(library: Library) -> None:
    """Hold the one-call digests against Python's."""
    for name in ("SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "MD5"):
        expected = hashlib.new(name.lower(), TEXT).digest()
        assert library.digest(name, TEXT, len(expected)) == expected, name


def cipher(library: Library, name: str, *, encrypt: int, data: bytes) -> bytes:
    """Return the data through a cipher with a fixed key."""
    context = library.pointer("EVP_CIPHER_CTX_new")
    kind = library.pointer(name)
    library.check("EVP_CipherInit_ex", context, kind, None, b"k" * 32, b"i" * 16, encrypt)
    out, length = ctypes.create_string_buffer(len(data) + 64), ctypes.c_int()
    library.check("EVP_CipherUpdate", context, out, ctypes.byref(length), data, len(data))
    return out.raw[: length.value]


def ciphers(library: Library) -> None:
    """Stream ciphers there and back."""
    for name in ("EVP_aes_128_gcm", "EVP_aes_256_gcm", "EVP_aes_256_ctr", "EVP_chacha20"):
        hidden = cipher(library, name, encrypt=1, data=TEXT)
        assert hidden != TEXT
        assert cipher(library, name, encrypt=0, data=hidden) == TEXT, name


def curves(library: Library) -> None:
    """Sign with new keys of elliptic curves, over primes and over GF(2^m), and verify."""
    digest = hashlib.sha256(TEXT).digest()
    for name, number in CURVES.items():
        try:
            key = library.pointer("EC_KEY_new_by_curve_name", number)
        except AssertionError:
            assert name == NO_CURVE
            continue
        library.check("EC_KEY_generate_key", key)
        signature, length = ctypes.create_string_buffer(200), ctypes.c_uint()
        library.check("ECDSA_sign", 0, digest, 32, signature, ctypes.byref(length), key)
        library.check("ECDSA_verify", 0, digest, 32, signature, length, key)


def rsa(library: Library) -> None:
    """Sign with new RSA keys of the lengths that have code of their own, and verify."""
    digest = hashlib.sha256(TEXT).digest()
    exponent = library.pointer("BN_new")
    library.check("BN_set_word", exponent, ctypes.c_ulong(PUBLIC_EXPONENT))
    for bits in (1024, 2048):
        key = library.pointer("RSA_new")
        library.check("RSA_generate_key_ex", key, bits, exponent, None)
        signature, length = ctypes.create_string_buffer(bits // 8), ctypes.c_uint()
        library.check("RSA_sign", SHA256, digest, 32, signature, ctypes.byref(length), key)
        library.check("RSA_verify", SHA256, digest, 32, signature, length, key)


def exchange(library: Library) -> None:
    """Agree on a secret by X25519."""
    keys = []
    for _ in range(2):
        context = library.pointer("EVP_PKEY_CTX_new_id", X25519, None)
        library.check("EVP_PKEY_keygen_init", context)
        key = ctypes.c_void_p()
        library.check("EVP_PKEY_keygen", context, ctypes.byref(key))
        keys.append(key)
    secrets = []
    for own, other in (keys, keys[::-1]):
        context = library.pointer("EVP_PKEY_CTX_new", own, None)
        library.check("EVP_PKEY_derive_init", context)
        library.check("EVP_PKEY_derive_set_peer", context, other)
        secret, length = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
        library.check("EVP_PKEY_derive", context, secret, ctypes.byref(length))
        secrets.append(secret.raw)
    assert secrets[0] == secrets[1]


python_s_own()
packages = Path(sysconfig.get_paths()["platlib"])
for path in sorted(packages.glob("*.libs/libcrypto*.so*")):
    loaded = Library(path)
    for part in (digests, ciphers, curves, rsa, exchange):
        part(loaded)
