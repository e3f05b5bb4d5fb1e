"""Small imitations of the datasets' official layouts."""

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
