"""Labels and attributes from files beside the images: where they are found, what they may say, and how they are refused."""

import csv
import json

import numpy as np
import pytest
import torch

from ganvas.data.batch import DataSpec
from ganvas.data.describe import describe, scan
from ganvas.data.open import open_data
from ganvas.errors import GanvasError
from tests.data.pictures import labels, noise, pixels, read, reasons, save, zipped


def images(folder, *names):
    for name in names:
        save(folder / name, noise(sum(name.encode())))
    return folder


def table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def both(folder, tmp_path):
    """The folder, and a zip of it below a folder of its own."""
    return str(folder), str(zipped(tmp_path / "packed.zip", folder, "top/"))


def test_stylegan_labels_in_folder_and_zip(tmp_path):
    folder = images(tmp_path / "set", *(f"{i // 2:05}/img{i:08}.png" for i in range(6)))
    said = [[f"{i // 2:05}/img{i:08}.png", (12, 3, 12, 3, 0, 0)[i]] for i in range(6)]
    (folder / "dataset.json").write_text(json.dumps({"labels": said}))
    for source in both(folder, tmp_path):
        data = open_data(source)
        assert data.spec.classes == ("0", "3", "12") and labels(data) == [2, 1, 2, 1, 0, 0] and data.label_counts() == (2, 2, 2)
        assert data.rejected == () and any("labels from" in note and "dataset.json" in note for note in data.notes())
        assert scan(source).spec == data.spec and "3 classes: 0 (2), 3 (2), 12 (2)" in describe(source)


def test_stylegan_folders_are_no_classes_where_there_are_no_labels(tmp_path):
    folder = images(tmp_path, *(f"{i // 2:05}/img{i:08}.png" for i in range(4)))
    assert open_data(str(folder)).spec.classes == ("00000", "00001")
    (folder / "dataset.json").write_text(json.dumps({"labels": None}))
    data = open_data(str(folder))
    assert data.spec.classes == () and len(data) == 4 and any("no labels" in note for note in data.notes())


def test_stylegan_vectors_are_classes_or_attributes(tmp_path):
    folder = images(tmp_path, "a.png", "b.png", "c.png")
    (folder / "dataset.json").write_text(json.dumps({"labels": [["a.png", [0, 1, 0]], ["b.png", [1.0, 0, 0]], ["c.png", [0, 1, 0]]]}))
    data = open_data(str(folder))
    assert data.spec.classes == ("0", "1") and labels(data) == [1, 0, 1]
    (folder / "dataset.json").write_text(json.dumps({"labels": [["a.png", [0, 1, 1]], ["b.png", [1, 0, 0]], ["c.png", [0, 0, 0]]]}))
    data = open_data(str(folder))
    assert data.spec.attributes == ("0", "1", "2") and data.spec.classes == ()
    assert data.batch(torch.tensor([0, 2]))["attributes"].tolist() == [[0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("{", r"'dataset.json' is not whole JSON"),
        ("[" * 100_000, r"'dataset.json' is not whole JSON"),
        ({"labels": 3}, "neither null nor a list"),
        ({"labels": []}, "neither null nor a list"),
        ({"labels": [["a.png"]]}, r"row 1, column 'labels': \['a.png'\] is not a pair"),
        ({"labels": [["a.png", 1], ["b.png", "cat"]]}, "row 2, column 'labels': the label cat is neither a whole number"),
        ({"labels": [["a.png", True]]}, "row 1, column 'labels': the label True is neither"),
        ({"labels": [["a.png", -1]]}, "row 1, column 'labels': the label -1 is neither"),
        ({"labels": [["a.png", [0.3, 0.7]]]}, r"row 1, column 'labels': the label \[0.3, 0.7\] is neither"),
        ({"labels": [["a.png", 1], ["b.png", [0, 1]]]}, "row 2, column 'labels': .* another kind or length"),
        ({"labels": [["a.png", [1, 0]], ["b.png", [0, 1, 0]]]}, "row 2, column 'labels': .* another kind or length"),
        ({"labels": [["a.png", 1], ["a.png", 1]]}, "row 2, column 'labels': 'a.png' has a row already"),
        ({"labels": [["x.png", 1]]}, r"names none of the images \('x.png' is not there\)"),
    ],
)
def test_a_wrong_dataset_json_is_one_clear_error(tmp_path, stored, message):
    images(tmp_path, "a.png", "b.png")
    (tmp_path / "dataset.json").write_text(stored if isinstance(stored, str) else json.dumps(stored))
    with pytest.raises(GanvasError, match=message) as caught:
        open_data(str(tmp_path))
    assert "\n" not in str(caught.value) and "dataset.json" in str(caught.value)


def test_another_dataset_json_is_named_and_not_used(tmp_path):
    images(tmp_path, "x/a.png", "y/b.png")
    (tmp_path / "dataset.json").write_text(json.dumps({"version": 1}))
    data = open_data(str(tmp_path))
    assert data.spec.classes == ("x", "y") and any("'dataset.json' is not used" in note for note in data.notes()) and not data.rejected


@pytest.mark.parametrize(
    ("head", "written"),
    [
        (["file_name", "label"], "pictures/{}.png"),
        (["id", "breed"], "{}"),
        (["label", "picture"], None),
        (["image", "weight", "class"], "./pictures/{}.png"),
    ],
)
def test_labels_in_a_csv_file(tmp_path, head, written):
    folder = images(tmp_path / "set", *(f"pictures/{i}.png" for i in range(4)))
    kinds = ["dog", "cat", "dog", "ünïcode, with comma"]
    rows = [[kind, f"{i}.png"] if written is None else [written.format(i), *["7"] * (len(head) - 2), kind] for i, kind in enumerate(kinds)]
    table(folder / "labels.csv", [head, *rows])
    for source in both(folder, tmp_path):
        data = open_data(source)
        assert data.spec.classes == ("cat", "dog", "ünïcode, with comma") and labels(data) == [1, 0, 1, 2] and not data.rejected


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_marks_between_columns_and_a_byte_order_mark(tmp_path, mark):
    images(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_bytes(f"file{mark}label\r\n1.png{mark}b\r\n\r\n2.png{mark}a\r\n".encode("utf-8-sig"))
    assert labels(open_data(str(tmp_path))) == [1, 0]


def test_each_split_may_have_a_table_of_its_own(tmp_path):
    images(tmp_path, "train/1.png", "train/2.png", "test/1.png", "test/2.png", "val/1.png")
    table(tmp_path / "train" / "metadata.csv", [["file_name", "label"], ["1.png", "b"], ["2.png", "a"]])
    table(tmp_path / "test" / "metadata.csv", [["file_name", "label"], ["1.png", "a"], ["2.png", "b"]])
    assert labels(open_data(str(tmp_path))) == [1, 0] and labels(open_data(str(tmp_path), split="test")) == [0, 1]
    assert open_data(str(tmp_path), split="val").spec.classes == ()
    assert not open_data(str(tmp_path), split="val").rejected


def test_images_without_a_row_are_left_out_and_rows_without_an_image_counted(tmp_path):
    images(tmp_path, "1.png", "2.png", "3.png")
    table(tmp_path / "labels.csv", [["file", "label"], ["1.png", "a"], ["3.png", "b"], ["gone.png", "b"], ["lost.png", "c"]])
    data = open_data(str(tmp_path))
    assert data.label_counts() == (1, 1) and data.spec.classes == ("a", "b")
    assert reasons(data) == {"2.png": "has no label in 'labels.csv'"}
    assert any("2 rows of it name files that are not there" in note for note in data.notes())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: has no file column"),
        ("a,b,c\n", "row 1: has no file column, called file_name, .* or id; its columns: a, b, c"),
        ("file,x,y\n", "row 1: has no label column, called label, .* or target; its columns: file, x, y"),
        ("file,label\n1.png,\n", "row 2, column 'label': '1.png' has no label"),
        ("file,label\n1.png,a\n\n2.png\n", "row 4: has 1 field, the head has 2"),
        ("file,label\n1.png,a\n1.png,b\n", "row 3, column 'file': '1.png' has a row already"),
        ("file,label\nx.png,a\n", "names none of the images"),
        ('file,label\n1.png,"a\n', "row 2: is not CSV"),
        ("file,label\ntwin.png,a\n", "row 2, column 'file': 'twin.png' may be 'x/twin.png' or 'y/twin.png': write the path"),
        (b"file,label\n1.png,\xff\n", "is not UTF-8 text"),
    ],
)
def test_a_wrong_csv_file_is_one_clear_error(tmp_path, text, message):
    images(tmp_path, "1.png", "2.png", "x/twin.png", "y/twin.png")
    (tmp_path / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(GanvasError, match=message) as caught:
        open_data(str(tmp_path))
    assert "\n" not in str(caught.value) and "labels.csv" in str(caught.value)


def test_metadata_without_labels_is_named_and_not_used(tmp_path):
    images(tmp_path, "1.png")
    table(tmp_path / "metadata.csv", [["file_name", "text", "author"], ["1.png", "a caption", "me"]])
    data = open_data(str(tmp_path))
    assert data.spec.classes == () and len(data) == 1 and any("'metadata.csv' is not used" in note for note in data.notes())


def test_two_tables_of_labels_are_refused(tmp_path):
    images(tmp_path, "1.png")
    table(tmp_path / "labels.csv", [["file", "label"], ["1.png", "a"]])
    table(tmp_path / "metadata.csv", [["file", "label"], ["1.png", "b"]])
    with pytest.raises(GanvasError, match="both 'labels.csv' and 'metadata.csv' hold labels"):
        open_data(str(tmp_path))


def test_two_domains_have_no_labels_and_say_so(tmp_path):
    images(tmp_path, "A/1.png", "B/1.png")
    table(tmp_path / "labels.csv", [["file", "label"], ["A/1.png", "a"], ["B/1.png", "b"]])
    data = open_data(str(tmp_path))
    assert data.spec.classes == () and any("'labels.csv' is not used" in note for note in data.notes()) and not data.rejected


NAMES = ["Bald", "Eyeglasses", "Smiling"]
BITS = np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]])


def celeba(folder, commas=False):
    """The layout of CelebA: images in a folder of their own, the table beside it or in another folder."""
    images(folder, *(f"Img/img_align_celeba/{i:06}.png" for i in range(1, 5)))
    rows = [[f"{i:06}.png", *(["-1", "1"][bit] for bit in bits)] for i, bits in enumerate(BITS, 1)]
    if commas:
        table(folder / "list_attr_celeba.csv", [["image_id", *NAMES], *rows])
    else:
        text = "\n".join(["4", " ".join(NAMES) + " ", *("  ".join(row) for row in rows)]) + "\n"
        (folder / "Anno").mkdir()
        (folder / "Anno" / "list_attr_celeba.txt").write_text(text)
    return folder


@pytest.mark.parametrize("commas", [False, True])
def test_celeba_attributes(tmp_path, commas):
    folder = celeba(tmp_path / "set", commas)
    for source in both(folder, tmp_path):
        data = open_data(source)
        assert data.spec.attributes == tuple(NAMES) and data.spec.views == {"attributes": (3,)} and data.spec.has("attributes")
        batch = data.batch(torch.tensor([2, 0]))
        assert batch["attributes"].tolist() == BITS[[2, 0]].tolist() and batch["attributes"].dtype == torch.float32
        assert data.spec.classes == () and not data.rejected and DataSpec.from_json(data.spec.to_json()) == data.spec == scan(source).spec
        assert scan(source).to_json()["splits"]["all"]["attributes"] == {"Bald": 2, "Eyeglasses": 1, "Smiling": 2}
        assert "3 attributes: Bald (50.0%), Eyeglasses (25.0%), Smiling (50.0%)" in describe(source)
        streamed = read(source, memory=10)
        assert torch.equal(streamed.batch(torch.tensor([2, 0]))["attributes"], batch["attributes"])
        assert torch.equal(data.to(torch.device("cpu")).batch(torch.tensor([3]))["attributes"], torch.zeros(1, 3))
        assert torch.equal(streamed.to(torch.device("cpu")).batch(torch.tensor([3]))["attributes"], torch.zeros(1, 3))


def test_attributes_are_part_of_the_content(tmp_path):
    folder = celeba(tmp_path)
    before = open_data(str(folder)).fingerprint, read(folder, memory=10).fingerprint
    path = folder / "Anno" / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("000004.png  -1", "000004.png  1"))
    after = open_data(str(folder)).fingerprint, read(folder, memory=10).fingerprint
    assert len({*before, *after}) == 4
    assert "attributes" not in open_data("digits").spec.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("4\n", "5\n", 1), "row 1: declares 5 images but has 4 rows: it is not whole"),
        (lambda text: text.replace("000002.png  -1", "000002.png  2"), "row 4, column 'Bald': '2' is neither 1 nor -1"),
        (lambda text: text.replace("000002.png  -1", "000002.png"), "row 4: has 2 values for 3 attributes"),
        (lambda text: text.replace("Smiling", "Bald"), "row 2: has no attributes, or two of one name"),
        (lambda text: text.partition("\n")[2], "row 1: begins neither with the number of images"),
        (lambda text: "", "row 1: begins neither"),
    ],
)
def test_a_wrong_attribute_file_is_one_clear_error(tmp_path, change, message):
    path = celeba(tmp_path) / "Anno" / "list_attr_celeba.txt"
    path.write_text(change(path.read_text()))
    with pytest.raises(GanvasError, match=message) as caught:
        open_data(str(tmp_path))
    assert "list_attr_celeba.txt" in str(caught.value) and "\n" not in str(caught.value)


def test_attributes_and_class_folders_go_together(tmp_path):
    images(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "list_attr_celeba.txt").write_text("2\nSmiling\n1.png 1\n2.png -1\n")
    batch = open_data(str(tmp_path)).batch(torch.arange(2))
    assert batch.labels.tolist() == [0, 1] and batch["attributes"].tolist() == [[1], [0]]


def test_a_table_is_no_image_and_its_change_is_seen(tmp_path):
    images(tmp_path, "1.png", "2.png")
    for kinds in (("a", "b"), ("b", "a")):
        table(tmp_path / "labels.csv", [["file", "label"], ["1.png", kinds[0]], ["2.png", kinds[1]]])
        assert labels(open_data(str(tmp_path))) == [int(kind == "b") for kind in kinds]
    assert len(pixels(open_data(str(tmp_path)))) == 2
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").unlink()
    with pytest.raises(GanvasError, match="holds no image"):
        open_data(str(tmp_path))
