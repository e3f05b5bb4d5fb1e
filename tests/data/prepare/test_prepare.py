"""Sets made ready: nothing is lost, nothing depends on how it was done, and bad input is named."""

import dataclasses
import io
import json
import pickle
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.align import Alignment
from ldl_jax.data.datasets import catalogue, prepared_folder, prepared_index
from ldl_jax.data.packed import Packed
from ldl_jax.data.prepare import builder, preparation
from ldl_jax.data.prepare.chunk import PictureForm
from ldl_jax.data.records import Chosen, DataError, FoldSplit, Records
from ldl_jax.data.splits import cross, hashes, protocols
from ldl_jax.data.synthetic import faces

COUNT = 11


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(preparation, "CHUNK", 4)
    monkeypatch.setattr(preparation, "SHARD", 6000)


def photo(path, seed, size=(31, 28), **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), np.uint8)
    Image.fromarray(pixels).resize(size).save(path, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of several formats, one called by another's name."""
    root = tmp_path_factory.mktemp("raw")
    for i in range(COUNT):
        photo(root / f"{i:02d}.jpg", i, format="PNG" if i == 3 else "JPEG")
    rows = [f"{i:02d}.jpg,{20 + i},s{i % 4},{'test' if i % 3 == 0 else 'train'},{i % 2}"
            for i in range(COUNT)]  # fmt: skip
    (root / "faces.csv").write_text("path,label,subject,split,fold\n" + "\n".join(rows))
    return root


@pytest.fixture
def raw(folder):
    return catalogue.read("csv_folder", folder, csv="faces.csv")


def everything(records):
    """Records with every field that a reader can fill."""
    count = len(records)
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.ones(3), count).astype(np.float32)
    return dataclasses.replace(
        records,
        sigma=np.where(np.arange(count) % 3, 1.5, np.nan).astype(np.float32),
        truth=truth,
        truth_values=np.array([0, 1, 2], np.float32),
        fold_splits=(FoldSplit((0,), (), (1,)), FoldSplit((1,), (0,), ())),
        quads=rng.normal(size=(count, 4, 2)).astype(np.float32),
        points=rng.normal(size=(count, 5, 2)).astype(np.float32),
        groups={
            kind: tuple(("", "one", "other")[i % 3] for i in range(count))
            for kind in ("group", "sex", "a b")
        },
        unit="score",
        notes=("a note", "ein β"),
        sources=tuple(f"line {i}\n\udcff" for i in range(count)),
    )


def files(out):
    """What is in a folder, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def assert_same(some: Records, others: Records):
    for field in dataclasses.fields(Records):
        if field.name in ("paths", "images", "packed"):
            continue
        one, other = getattr(some, field.name), getattr(others, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, field.name


def test_nothing_in_the_records_is_lost(raw, tmp_path):
    full = everything(raw)
    full = dataclasses.replace(full, sources=raw.sources)
    made = preparation.prepare(full, tmp_path / "out", PictureForm(), workers=1)
    assert (made.pictures, made.left, made.before) == (COUNT, (), 0)
    back = catalogue.read("prepared", tmp_path / "out")
    assert_same(back, full)
    assert back.paths == ()
    assert [*back.packed] == [path.read_bytes() for path in raw.paths]  # byte for byte
    assert len(list(made.folder.glob("*.array_record-*"))) > 1
    assert made.size == sum(path.stat().st_size for path in made.folder.glob("*.array_record-*"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["faces"]


def test_any_text_survives_the_index(raw):
    full = everything(raw)
    back = prepared_index.from_arrays(prepared_index.to_arrays(full), [b""] * COUNT)
    assert_same(back, full)
    assert prepared_index.fingerprint(back) == prepared_index.fingerprint(full)
    other = dataclasses.replace(full, labels=full.labels + np.float32(1))
    assert prepared_index.fingerprint(other) != prepared_index.fingerprint(full)


def test_pictures_drawn_in_memory_lose_nothing(tmp_path):
    records = faces.faces(10, 32, groups=2, lazy=True)
    preparation.prepare(records, tmp_path / "out", PictureForm(), workers=2)
    back = catalogue.read("prepared", tmp_path / "out")
    assert_same(back, records)
    np.testing.assert_array_equal(pictures.decode(back.packed, 32)[0], records.images[:])


@pytest.mark.parametrize("png", [False, True])
def test_a_size_is_that_of_every_picture(raw, tmp_path, png):
    preparation.prepare(raw, tmp_path / "out", PictureForm(size=16, png=png), workers=1)
    back = catalogue.read("prepared", tmp_path / "out")
    exact, _ = pictures.decode(raw.paths, 16)
    for content, pixels in zip(back.packed, exact, strict=True):
        with Image.open(io.BytesIO(content)) as image:
            assert image.format == ("PNG" if png else "JPEG")
            assert image.size == (16, 16)
            if png:
                np.testing.assert_array_equal(np.asarray(image), pixels)
            else:  # JPEGs keep brightness finer than colour
                gray = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
                assert np.abs(np.asarray(image.convert("L")) - gray).mean() < 4


@pytest.mark.parametrize("workers", [1, 2])
def test_the_files_do_not_depend_on_how_often_it_was_cut_off(raw, tmp_path, workers):
    preparation.prepare(raw, tmp_path / "alone", PictureForm(size=24), workers=1)

    stages = []

    def interrupted(what, done, total):
        if done >= 4 and what == stages[-1]:
            raise KeyboardInterrupt

    out = tmp_path / "cut"
    for stage in ("preparing", "writing"):
        stages.append(stage)
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(
                raw, out, PictureForm(size=24), workers=workers, progress=interrupted
            )
        with pytest.raises(DataError, match="was cut off while it was prepared; the same command"):
            catalogue.read("prepared", out)
    for name in ("000001.pictures.partial-7", "000001.npz.partial-7"):
        (out / "parts" / name).write_bytes(b"left by a kill")
    (out / "parts" / "000002.npz").write_bytes(b"cut short by a power cut")
    made = preparation.prepare(raw, out, PictureForm(size=24), workers=1)
    assert made.before == 8
    assert files(out) == files(tmp_path / "alone")


def test_what_is_done_is_not_done_again(raw, tmp_path, monkeypatch):
    out = tmp_path / "out"
    preparation.prepare(raw, out, PictureForm(), workers=1)
    before = files(out)
    monkeypatch.setattr(preparation.work, "work", None)
    again = preparation.prepare(raw, out, PictureForm(), workers=1)
    assert (again.pictures, again.before) == (COUNT, COUNT)
    assert files(out) == before


def test_beam_writes_the_same_files(raw, tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
    preparation.prepare(raw, tmp_path / "alone", PictureForm(), workers=1)
    seen = []
    preparation.prepare(
        raw,
        tmp_path / "beam",
        PictureForm(),
        beam=["--runner=DirectRunner"],
        progress=lambda *stage: seen.append(stage),
    )
    assert files(tmp_path / "beam") == files(tmp_path / "alone")
    assert seen[0] == ("preparing", 0, COUNT)


class TestUnreadable:
    @pytest.fixture
    def damaged(self, folder, tmp_path):
        """One picture cut off, one empty, one no picture, one missing since it was listed."""
        root = tmp_path / "damaged"
        root.mkdir()
        for i in range(COUNT):
            (root / f"{i:02d}.jpg").write_bytes((folder / f"{i:02d}.jpg").read_bytes())
        whole = (root / "05.jpg").read_bytes()
        (root / "05.jpg").write_bytes(whole[: len(whole) // 2])
        (root / "06.jpg").write_bytes(b"")
        (root / "09.jpg").write_text("<html>not found</html>")
        (root / "faces.csv").write_text((folder / "faces.csv").read_text())
        records = catalogue.read("csv_folder", root, csv="faces.csv")
        (root / "10.jpg").unlink()
        return records

    @pytest.mark.parametrize("form", [PictureForm(), PictureForm(size=8)])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_stops_at_the_first_with_its_file_and_row(self, damaged, tmp_path, form, workers):
        with pytest.raises(DataError) as caught:
            preparation.prepare(damaged, tmp_path / "out", form, workers=workers)
        message = str(caught.value)
        assert message.startswith(f"faces.csv row 7: {damaged.paths[5]}: cannot be read as a ")
        assert "--unreadable=skip" in message
        assert "\n" not in message

    def test_skips_counts_and_names_them(self, damaged, tmp_path):
        out = tmp_path / "out"
        with pytest.raises(DataError):
            preparation.prepare(damaged, out, PictureForm(), workers=1)
        made = preparation.prepare(damaged, out, PictureForm(), unreadable="skip", workers=1)
        assert made.pictures == COUNT - 4
        assert made.before > 0  # it went on where it had stopped
        assert len(made.left) == 1
        assert made.left[0].startswith("4 pictures left out: the picture cannot be read (the first")
        assert "faces.csv row 7" in made.left[0]
        back = catalogue.read("prepared", out)
        keep = [0, 1, 2, 3, 4, 7, 8]
        assert back.ids == tuple(damaged.ids[i] for i in keep)
        np.testing.assert_array_equal(back.labels, damaged.labels[keep])
        assert [*back.packed] == [damaged.paths[i].read_bytes() for i in keep]
        assert back.notes == made.left

    def test_a_part_that_skipped_does_not_pass_where_it_must_stop(self, damaged, tmp_path):
        def interrupted(what, done, total):
            if what == "writing":
                raise KeyboardInterrupt

        out = tmp_path / "out"
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(
                damaged, out, PictureForm(), unreadable="skip", workers=1, progress=interrupted
            )
        with pytest.raises(DataError, match="row 7"):
            preparation.prepare(damaged, out, PictureForm(), workers=1)

    def test_none_is_left(self, damaged, tmp_path):
        bad = damaged.take(np.array([5, 6]))
        with pytest.raises(DataError, match="no picture is left; 2 pictures left out"):
            preparation.prepare(bad, tmp_path / "out", PictureForm(), unreadable="skip", workers=1)


def test_mutated_pictures_are_read_or_left_out(folder, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    rng = np.random.default_rng(0)
    whole = [(folder / name).read_bytes() for name in ("00.jpg", "03.jpg")]
    root = tmp_path / "mutated"
    root.mkdir()
    for i in range(150):
        content = bytearray(whole[i % 2])
        for place in rng.integers(0, len(content), 1 + i % 9):
            content[place] = rng.integers(0, 256)
        if i % 5 == 0:
            content = content[: rng.integers(0, len(content))]
        (root / f"{i}.jpg").write_bytes(content)
    (root / "list.csv").write_text("path,label\n" + "".join(f"{i}.jpg,1\n" for i in range(150)))
    records = catalogue.read("csv_folder", root, csv="list.csv")
    form = PictureForm(size=8)
    made = preparation.prepare(records, tmp_path / "out", form, unreadable="skip", workers=1)
    assert 5 < made.pictures < 40  # the decoder objects to most damage
    back = catalogue.read("prepared", tmp_path / "out")
    assert pictures.decode(back.packed, 8)[0].shape == (made.pictures, 8, 8, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mutated", "out", "temporary"]
    assert not list((tmp_path / "temporary").iterdir())


class TestPlace:
    def refusal(self, records, out, form=None):
        with pytest.raises(DataError) as caught:
            preparation.prepare(records, out, form or PictureForm(), workers=1)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_other_files(self, raw, tmp_path):
        (tmp_path / "holiday.jpg").write_text("mine")
        assert "holds other files (as holiday.jpg)" in self.refusal(raw, tmp_path)
        assert "is a file; give a folder" in self.refusal(raw, tmp_path / "holiday.jpg")
        (tmp_path / "x/parts").mkdir(parents=True)
        (tmp_path / "x/parts/mine").write_text("mine")
        assert "holds other files (as parts/mine)" in self.refusal(raw, tmp_path / "x")
        assert files(tmp_path) == {"holiday.jpg": b"mine", "x/parts/mine": b"mine"}

    def test_another_preparation(self, raw, tmp_path):
        preparation.prepare(raw, tmp_path, PictureForm(), workers=1)
        before = files(tmp_path)
        assert "size: 0 -> 16" in self.refusal(raw, tmp_path, PictureForm(size=16))
        other = dataclasses.replace(raw, name="aaf")
        assert "dataset: 'csv_folder' -> 'aaf'" in self.refusal(other, tmp_path)
        assert "pictures: 11 -> 10" in self.refusal(raw.take(slice(0, 10)), tmp_path)
        assert files(tmp_path) == before

    def test_another_preparation_half_way(self, raw, tmp_path):
        def interrupted(what, done, total):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(raw, tmp_path, PictureForm(), workers=1, progress=interrupted)
        assert "png: False -> True" in self.refusal(raw, tmp_path, PictureForm(png=True))

    def test_another_version(self, raw, tmp_path, monkeypatch):
        monkeypatch.setattr(prepared_folder, "VERSION", "0.9.0")
        monkeypatch.setattr(builder, "VERSION", "0.9.0")
        monkeypatch.setattr(
            builder.Faces,
            "VERSION",
            type(builder.Faces.VERSION)("0.9.0"),
        )
        preparation.prepare(raw, tmp_path, PictureForm(), workers=1)
        monkeypatch.undo()
        assert "prepared in version 0.9.0, this is 1.1.0" in self.refusal(raw, tmp_path)
        with pytest.raises(
            DataError, match=r"in version 0\.9\.0, this reads 1\.1\.0; prepare it ag"
        ):
            catalogue.read("prepared", tmp_path)

    def test_in_use(self, raw, tmp_path):
        plan = {"version": "1.1.0"}
        with (
            prepared_folder.claimed(tmp_path / "out", plan),
            pytest.raises(DataError, match="another command is preparing it"),
            prepared_folder.claimed(tmp_path / "out", plan),
        ):
            pass

    def test_pictures_that_are_cut_out_already(self, raw, tmp_path):
        cut = dataclasses.replace(raw, alignment=Alignment("box", 0.1))
        form = PictureForm(Alignment("quad", 0.0))
        assert "are cut out already (by box)" in self.refusal(cut, tmp_path / "out", form)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("changes", "says"),
        [({"unreadable": "ask"}, "unreadable: .* got 'ask'"), ({"workers": -1}, "workers: .* -1")],
    )
    def test_arguments(self, raw, tmp_path, changes, says):
        with pytest.raises(ValueError, match=says):
            preparation.prepare(raw, tmp_path / "out", PictureForm(), **changes)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"size": -1}, "size: .* -1"),
            ({"size": 5000}, "size"),
            ({"faces": "all"}, "faces: .*all"),
        ],
    )
    def test_forms(self, changes, says):
        with pytest.raises(ValueError, match=says):
            PictureForm(**changes)


class TestReading:
    @pytest.fixture
    def out(self, raw, tmp_path):
        preparation.prepare(raw, tmp_path / "out", PictureForm(), workers=1)
        return tmp_path / "out"

    def complaint(self, out):
        with pytest.raises(DataError) as caught:
            catalogue.read("prepared", out)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_nothing_there(self, tmp_path):
        message = self.complaint(tmp_path)
        assert f"{tmp_path} has no faces/1.1.0" in message
        assert "python -m launch.prepare" in message

    def test_half_way_says_the_command(self, raw, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            preparation.prepare(
                raw,
                tmp_path,
                PictureForm(),
                workers=1,
                command="python -m launch.prepare --dataset=mine",
                progress=lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
            )
        message = self.complaint(tmp_path)
        assert message.endswith("goes on: python -m launch.prepare --dataset=mine")

    def test_a_shard_cut_short_or_missing(self, out):
        shard = sorted((out / "faces/1.1.0").glob("*.array_record-*"))[1]
        content = shard.read_bytes()
        shard.write_bytes(content[:-100])
        assert f"has {len(content) - 100} of {len(content)} bytes" in self.complaint(out)
        shard.unlink()
        assert f"{shard}: is missing" in self.complaint(out)

    @pytest.mark.parametrize("name", ["index.npz", "prepared.json"])
    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"PK\x03\x04"])
    def test_a_damaged_file(self, out, name, content):
        (out / "faces/1.1.0" / name).write_bytes(content)
        self.complaint(out)

    def test_a_damaged_picture(self, out):
        shard = sorted((out / "faces/1.1.0").glob("*.array_record-*"))[0]
        content = bytearray(shard.read_bytes())
        place = bytes(content).find(b"JFIF")
        content[place + 20 : place + 60] = bytes(40)
        shard.write_bytes(content)
        back = catalogue.read("prepared", out)
        with pytest.raises(DataError, match="picture 0 of the prepared set cannot be read"):
            back.packed[0]

    def test_any_row_from_threads_and_from_a_copy(self, out, raw):
        packed = catalogue.read("prepared", out).packed
        assert isinstance(packed, Packed)
        expected = [path.read_bytes() for path in raw.paths]
        rows = np.random.default_rng(0).integers(0, COUNT, 300).tolist()
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(packed.__getitem__, rows)) == [expected[row] for row in rows]
        copy = pickle.loads(pickle.dumps(packed))
        assert [*copy] == expected
        picked = pickle.loads(pickle.dumps(Chosen(packed, np.array([9, 2, 2]))))
        assert [*picked] == [expected[9], expected[2], expected[2]]
        for row in (-1, COUNT):
            with pytest.raises(IndexError):
                packed[row]

    def test_a_run_on_it_is_that_on_the_files(self, out, raw):
        back = catalogue.read("prepared", out)
        for protocol in ("official", "subject", "official_folds"):
            some, others = (protocols.split(one, protocol, 0, 0.3) for one in (back, raw))
            assert protocols.fingerprint(back, some) == protocols.fingerprint(raw, others)
        assert_same_hashes(hashes.take(back), hashes.take(raw))

    def test_two_prepared_sets_make_a_cross_dataset_run(self, out, raw):
        back = catalogue.read("prepared", out)
        cut = dataclasses.replace(back, name="other", alignment=Alignment("box", 0.1))
        both = cross.combine(back, cut)
        assert len(both.packed) == 2 * COUNT
        assert both.packed[COUNT + 3] == both.packed[3] == back.packed[3]
        assert any("cut out by None in csv_folder" in note for note in both.notes)
        with pytest.raises(DataError, match="are prepared, of the other files; prepare both or ne"):
            cross.combine(back, raw)

    def test_it_can_be_prepared_again(self, out, raw, tmp_path):
        preparation.prepare(
            catalogue.read("prepared", out), tmp_path / "small", PictureForm(size=8), workers=1
        )
        back = catalogue.read("prepared", tmp_path / "small")
        assert back.ids == raw.ids
        assert pictures.decode(back.packed, 8)[0].shape == (COUNT, 8, 8, 3)


def assert_same_hashes(some, others):
    assert some.files == others.files
    np.testing.assert_array_equal(some.hashes, others.hashes)
    np.testing.assert_array_equal(some.looks, others.looks)


def test_real_faces(real_data, tmp_path):
    """All-Age-Faces' originals, cut out by their own key points, and the release's own faces."""
    root = tmp_path / "aaf"
    (root / "image sets").mkdir(parents=True)
    for name in ("original images", "key points"):
        (root / name).symlink_to(real_data / "aaf" / name)
    names = sorted(path.name for path in (root / "original images").glob("*.jpg"))[:12]
    (root / "image sets/train.txt").write_text("".join(f"{name} 0\n" for name in names[::2]))
    (root / "image sets/val.txt").write_text("".join(f"{name} 0\n" for name in names[1::2]))
    records = catalogue.read("aaf", root, originals=True)
    assert np.isfinite(records.points).all()
    form = PictureForm(Alignment("quad", 0.0), size=64)
    made = preparation.prepare(records, tmp_path / "out", form, workers=1)
    assert made.pictures == 12
    back = catalogue.read("prepared", tmp_path / "out")
    assert back.alignment == Alignment("quad", 0.0)
    pixels, _ = pictures.decode(back.packed, 64)
    # The benchmark's square shows eyes in its upper half: darker there than the cheeks below.
    eyes, cheeks = pixels[:, 24:30, 16:48].mean(), pixels[:, 34:40, 16:48].mean()
    assert eyes < cheeks


def test_about_is_whole(raw, tmp_path):
    made = preparation.prepare(
        raw, tmp_path / "out", PictureForm(size=8), workers=1, command="secret"
    )
    about = json.loads((made.folder / "prepared.json").read_text())
    assert about["version"] == "1.1.0"
    assert about["plan"]["size"] == 8
    assert "command" not in about["plan"]  # the same files whatever the flags
    assert sum(shard["pictures"] for shard in about["shards"]) == COUNT
    assert {path.name for path in Path(made.folder).iterdir()} == {
        "dataset_info.json",
        "features.json",
        "index.npz",
        "prepared.json",
        *(shard["file"] for shard in about["shards"]),
    }
