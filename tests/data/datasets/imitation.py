"""Small imitations of the datasets' official layouts."""

import datetime
import struct
import zipfile
from xml.sax.saxutils import escape

import openpyxl


def write(root, files):
    """Files by name: pictures as empty files (no reader opens one), lists as their text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def book(path, rows_of):
    """An .xlsx file of these sheets: the rows of each by its title, None for an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in rows_of.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
    workbook.save(path)


def ods(path, rows_of):
    """An .ods file of these sheets, as LibreOffice writes it; texts with # in front are errors."""
    names = ("office", "table", "text")
    spaces = "".join(f' xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in names)
    spaces += (
        ' xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    )
    content = f"<office:document-content{spaces}><office:body><office:spreadsheet>"
    for title, rows in rows_of.items():
        content += f'<table:table table:name="{title}">'
        for row in rows:
            content += f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>"
        content += "</table:table>"
    content += "</office:spreadsheet></office:body></office:document-content>"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr(
            "META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{manifest}"/>'
        )
        archive.writestr("content.xml", f'<?xml version="1.0" encoding="UTF-8"?>{content}')


def _ods_cell(value):
    if value is None:
        return "<table:table-cell/>"
    kind, attribute, text = "string", "", value
    if isinstance(value, bool):
        kind, attribute, text = "boolean", f' office:boolean-value="{str(value).lower()}"', value
    elif isinstance(value, datetime.datetime):
        kind, attribute = "date", f' office:date-value="{value.isoformat()}"'
    elif isinstance(value, int | float):
        kind, attribute = "float", f' office:value="{value}"'
    elif value.startswith("#"):
        attribute = ' office:string-value="" calcext:value-type="error"'
    return (
        f'<table:table-cell office:value-type="{kind}"{attribute}>'
        f"<text:p>{escape(str(text))}</text:p></table:table-cell>"
    )


def xls(path, rows_of):
    """An .xls file of these sheets: BIFF8 records in a compound file of 512-byte sectors."""
    start = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0))
    start += record(0xE0, struct.pack("<HH16x", 0, 0)) + record(0xE0, struct.pack("<HH16x", 0, 14))
    sheets = [_xls_sheet(rows) for rows in rows_of.values()]
    at = len(start) + sum(12 + len(title) for title in rows_of) + 4
    for title, sheet in zip(rows_of, sheets, strict=True):
        name = title.encode("latin-1")
        start += record(0x0085, struct.pack("<IHBB", at, 0, len(name), 0) + name)
        at += len(sheet)
    stream = b"".join([start, record(0x000A, b""), *sheets]).ljust(4096, b"\0")
    count = -(-len(stream) // 512)
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + struct.pack(
        "<16x5H6x10I", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, 1, 0, 4096, end, 0, end, 0, 0
    )
    chain = [0xFFFFFFFD, end, *range(3, count + 2), end]
    table = struct.pack(f"<{len(chain)}I", *chain).ljust(512, b"\xff")
    folder = _xls_entry("Root Entry", 5, 1, end, 0) + _xls_entry(
        "Workbook", 2, free, 2, len(stream)
    )
    content = header.ljust(512, b"\xff") + table + folder.ljust(512, b"\0")
    path.write_bytes(content + stream.ljust(512 * count, b"\0"))


def record(kind, content):
    """A BIFF record."""
    return struct.pack("<HH", kind, len(content)) + content


def _xls_entry(name, kind, child, start, size):
    text = (name + "\0").encode("utf-16-le")
    free = 0xFFFFFFFF
    links = struct.pack("<HBBIII36xIQ", len(text), kind, 1, free, free, child, start, size)
    return text.ljust(64, b"\0") + links


def _xls_sheet(rows):
    records = record(0x0809, struct.pack("<HHHHII", 0x0600, 0x0010, 0, 0, 0, 0))
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            where = struct.pack("<HHH", y, x, isinstance(value, datetime.datetime))
            if isinstance(value, datetime.datetime):
                days = (value - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)
                records += record(0x0203, where + struct.pack("<d", days))
            elif isinstance(value, bool):
                records += record(0x0205, where + struct.pack("<BB", value, 0))
            elif isinstance(value, int | float):
                records += record(0x0203, where + struct.pack("<d", value))
            elif value is not None:
                text = value.encode("latin-1")
                records += record(0x0204, where + struct.pack("<HB", len(text), 0) + text)
    return records + record(0x000A, b"")


def scut_fbp5500(root, folder="train_test_files/split_of_60%training and 40%testing"):
    """Two pictures and a split."""
    write(
        root,
        {
            "Images/AF1.jpg": "",
            "Images/CM2.jpg": "",
            f"{folder}/train.txt": "CM2.jpg 3.516667\n",
            f"{folder}/test.txt": "AF1.jpg 2.5\n",
        },
    )
