"""Changes files as damage and malice do: flipped bytes, cuts, and words that readers stumble on."""

import io
import random
import string
import struct
import zipfile

# What means something in one of the formats, or is a number that nobody expects.
WORDS = (
    b"\0", b"\n", b"\r\n", b'"', b'""', b",", b";", b"\t", b"-", b"'", b"=1+1", b"nan", b"inf",
    b"1e999", b"4_6", b"0x1f", b"../", b"/etc/hostname", b"{", b"}", b"[", b"]", b"[" * 3000,
    b"null", b"true", b"&a [*a,*a]", b"!!python/none", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b[31m",
    b"[bold]", b"<!ENTITY a 'a'>", b"9" * 400, b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff",
    b"\xff\xd9", b"\xff\xda", b"\xff\xc4", b"IEND", b"cos\nsystem\n", b"\x80\x02", b"R.",
)  # fmt: skip
_NUMBERS = (0, 1, 2**7, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1)


def mutated(rng: random.Random, content: bytes) -> bytes:
    """Returns the content with one to three changes."""
    if rng.random() < 0.3 and zipfile.is_zipfile(io.BytesIO(content)):
        return _within_archive(rng, content)
    out = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        _change(rng, out)
    return bytes(out)


def _change(rng: random.Random, out: bytearray) -> None:
    start, end = sorted(rng.randint(0, len(out)) for _ in "ab")
    near = min(end, start + 40)
    kind = rng.choice(("flip", "flip", "flip", "cut", "insert", "take", "swap", "double", "number"))
    if kind == "flip" and out and out.isascii() and rng.random() < 0.8:
        out[min(start, len(out) - 1)] = rng.choice(string.printable.encode())
    elif kind == "flip" and out:
        out[min(start, len(out) - 1)] ^= rng.randint(1, 255)
    elif kind == "cut":
        del out[rng.randint(start, len(out)) :]  # rather near the end: half of it is dull
    elif kind == "insert":
        out[start:start] = rng.choice(WORDS)
    elif kind == "take":
        del out[start:near]
    elif kind == "swap":
        out[start:near] = out[start:near][::-1]
    elif kind == "double":
        out[start:start] = out[start:near]
    elif kind == "number":
        form = rng.choice(("<I", ">I", "<Q", ">H"))
        limit = 2 ** (8 * struct.calcsize(form)) - 1
        word = struct.pack(form, min(rng.choice(_NUMBERS), limit))
        out[start : start + len(word)] = word


def _within_archive(rng: random.Random, content: bytes) -> bytes:
    """Changes a member of a zip archive, whose check sums are then right again."""
    file = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:  # an archive within something else
        return content[: rng.randint(0, len(content))]
    worst = rng.choice(sorted(members))
    with zipfile.ZipFile(file, "w") as archive:
        for name, member in members.items():
            changed = bytearray(member)
            if name == worst:
                _change(rng, changed)
            archive.writestr(zipfile.ZipInfo(name), bytes(changed))  # which has no time of its own
    return file.getvalue()
