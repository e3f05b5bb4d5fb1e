"""Small imitations of the datasets' official layouts."""


def write(root, files):
    """Files by name: pictures as empty files (no reader opens one), lists as their text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
