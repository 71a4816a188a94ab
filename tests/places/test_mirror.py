"""A mirror is as its address, and the address never half as the mirror."""

import pytest

from fashion_keras import places
from fashion_keras.errors import UserError
from fashion_keras.places import anywhere, changing, local, sync
from fashion_keras.store import Store

HERE = "memory://bucket/run"


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def stored(memory, base="/bucket/run"):
    return {key[len(base) + 1 :]: memory.cat_file(key).decode() for key in memory.find(base)}


@pytest.fixture
def asked(monkeypatch):
    """What is asked of the store, by the names of files: gets, puts and copies."""
    calls = []
    for name in ("get", "put", "copy"):
        real = getattr(Store, name)

        def counted(self, *args, real=real, name=name):
            key = next(str(arg) for arg in reversed(args) if isinstance(arg, str))
            calls.append((name, key.rpartition("/")[2]))
            return real(self, *args)

        monkeypatch.setattr(Store, name, counted)
    return calls


def test_what_is_written_on_one_machine_is_read_on_another(memory, machine):
    with changing(HERE) as folder:
        write(folder, a="1", deep__b="2")
    assert stored(memory) == {"a": "1", "deep/b": "2"}
    machine("second")
    assert read(local(HERE)) == {"a": "1", "deep/b": "2"}


def test_a_second_use_downloads_only_what_is_new(memory, asked):
    memory.pipe({"/bucket/run/a": b"1", "/bucket/run/b": b"2"})
    local(HERE)
    assert sorted(asked) == [("get", "a"), ("get", "b")]
    asked.clear()
    local(HERE)
    assert asked == []
    memory.pipe_file("/bucket/run/b", b"3")
    memory.rm_file("/bucket/run/a")
    assert read(local(HERE)) == {"b": "3"}
    assert asked == [("get", "b")]


def test_what_somebody_did_to_a_copy_is_mended(memory):
    memory.pipe({"/bucket/run/a": b"1", "/bucket/run/deep/b": b"2"})
    folder = local(HERE)
    write(folder, a="other", c="mine")
    (folder / "deep" / "b").unlink()
    assert read(local(HERE)) == {"a": "1", "deep/b": "2"}


def test_only_what_changed_is_uploaded(memory, asked):
    with changing(HERE) as folder:
        write(folder, a="1", b="2", c="3")
    asked.clear()
    with changing(HERE) as folder:
        write(folder, b="4")
        (folder / "c").unlink()
    assert [name for kind, name in asked if kind == "copy"] == ["b"]
    assert stored(memory) == {"a": "1", "b": "4"}
    asked.clear()
    with changing(HERE):
        pass
    assert asked == []


def test_a_block_that_fails_uploads_nothing(memory):
    with pytest.raises(ZeroDivisionError), changing(HERE) as folder:
        write(folder, a="1")
        raise ZeroDivisionError
    assert stored(memory) == {}


def fail_after(monkeypatch, name, count):
    """Let a call to the store fail after so many."""
    real, done = getattr(Store, name), []

    def failing(self, *args):
        if len(done) >= count:
            raise KeyboardInterrupt
        done.append(args)
        return real(self, *args)

    monkeypatch.setattr(Store, name, failing)


@pytest.mark.parametrize("stopped", [("put", 1), ("write", 0)])
def test_an_interrupted_upload_shows_nothing_and_goes_on(
    memory, machine, monkeypatch, asked, stopped
):
    with changing(HERE) as folder:
        write(folder, a="1", b="2")
    monkeypatch.setattr("fashion_keras.store.AT_ONCE", 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fail_after(patch, *stopped)
        with changing(HERE) as folder:
            write(folder, a="longer", b="longest", c="new")
    machine("second")
    assert read(local(HERE)) == {"a": "1", "b": "2"}
    machine("first")
    asked.clear()
    with changing(HERE):  # what is here is ahead of what is there
        pass
    puts = [name for kind, name in asked if kind == "put"]
    assert len(puts) == {"put": 2, "write": 0}[stopped[0]]
    machine("second")
    assert read(local(HERE)) == {"a": "longer", "b": "longest", "c": "new"}


@pytest.mark.parametrize("copies", [0, 1, 2])
def test_what_is_complete_beside_is_seen_whole_and_put_in_place_by_the_next(
    memory, machine, monkeypatch, copies
):
    with changing(HERE) as folder:
        write(folder, a="1", old="x")
    after = {"a": "2", "b": "3"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fail_after(patch, "copy" if copies < 2 else "remove", copies % 2)
        with changing(HERE) as folder:
            write(folder, a="2", b="3")
            (folder / "old").unlink()
    machine("second")
    assert read(local(HERE)) == after
    with changing(HERE) as folder:
        assert read(folder) == after
    assert stored(memory) == after
    assert read(local(HERE)) == after


def test_an_upload_leaves_those_of_other_machines_alone(memory, machine, monkeypatch):
    monkeypatch.setattr("fashion_keras.store.AT_ONCE", 1)
    real = Store.write

    def write_late(self, *args):
        monkeypatch.setattr(Store, "write", real)
        machine("second")  # which is quicker
        places._changing.clear()
        with changing(HERE) as folder:
            write(folder, c="3", d="4")
        machine("first")
        return real(self, *args)

    with changing(HERE) as folder:
        write(folder, a="1", b="2")
        sync(folder)
        write(folder, a="5", b="6")
        monkeypatch.setattr(Store, "write", write_late)
        sync(folder)
        places._changing[HERE] = None  # what the second has taken out
    assert stored(memory) == {"a": "5", "b": "6", "c": "3", "d": "4"}


def test_two_machines_may_put_the_same_in_place(memory, machine, monkeypatch):
    copy, copied = Store.copy, []

    def overtaken(self, *args):
        if not copied:
            copied.append(args)
            machine("second")
            places.Mirror(HERE, "work")._finish_uploads()
            machine("first")
        return copy(self, *args)

    monkeypatch.setattr(Store, "copy", overtaken)
    with changing(HERE) as folder:
        write(folder, a="1", b="2")
    assert stored(memory) == {"a": "1", "b": "2"}


def test_a_seal_is_copied_last(memory, asked):
    with changing(HERE) as folder:
        write(folder, **{"run.json": "{}", "v__saved_model.pb": "x", "z": "1"})
    copies = [name for kind, name in asked if kind == "copy"]
    assert copies[0] == "z" and set(copies[1:]) == {"run.json", "saved_model.pb"}


def test_a_store_that_fails_in_between_is_a_warning_and_at_the_end_an_error(
    memory, monkeypatch, caplog
):
    def fails(*args, **options):
        raise TimeoutError("no answer")

    with pytest.raises(UserError, match=f"{HERE} cannot be reached"), changing(HERE) as folder:
        write(folder, a="1", b="2")
        with monkeypatch.context() as patch:
            patch.setattr(type(memory), "put_file", fails)
            sync(folder)
        assert stored(memory) == {}
        assert f"{HERE} cannot be reached (TimeoutError: no answer)" in caplog.text
        sync(folder)
        assert stored(memory) == {"a": "1", "b": "2"}
        write(folder, b="3")
        monkeypatch.setattr(type(memory), "put_file", fails)


def test_who_was_overtaken_is_told_and_overwrites_nothing(memory):
    told = pytest.raises(UserError, match=f"{HERE}/a was changed in the store meanwhile")
    with told, changing(HERE) as folder:
        write(folder, a="1")
        sync(folder)
        memory.pipe_file("/bucket/run/b", b"a new file of somebody else's is no harm")
        write(folder, a="2")
        sync(folder)
        memory.pipe_file("/bucket/run/a", b"of somebody else")
        write(folder, a="3")
    assert stored(memory)["a"] == "of somebody else"


def test_what_others_changed_goes_before_what_was_not_uploaded(memory, machine):
    with changing(HERE) as folder:
        write(folder, a="1", b="1")
    with pytest.raises(ZeroDivisionError), changing(HERE) as folder:
        write(folder, a="mine", c="mine")
        raise ZeroDivisionError
    memory.pipe_file("/bucket/run/b", b"theirs")
    with changing(HERE) as folder:
        assert read(folder) == {"a": "1", "b": "theirs"}


def test_what_was_cleared_from_the_cache_is_not_removed_from_the_store(memory):
    with changing(HERE) as folder:
        write(folder, a="1", b="2")
    (folder / "a").unlink()
    with changing(HERE) as folder:
        assert read(folder) == {"a": "1", "b": "2"}
    assert stored(memory) == {"a": "1", "b": "2"}


def test_two_processes_of_a_machine_do_not_work_on_one_address(memory):
    from fashion_keras.places import Mirror

    told = pytest.raises(UserError, match=f"another process works on {HERE}")
    with Mirror(HERE, "work").held(), told, changing(HERE):
        pass


def test_reading_does_not_disturb_who_changes(memory, machine):
    memory.pipe_file("/bucket/run/a", b"1")
    with changing(HERE) as folder:
        write(folder, a="2")
        assert read(local(HERE)) == {"a": "1"}
        assert read(folder) == {"a": "2"}


@pytest.mark.parametrize("is_writer", [True, False])
def test_of_several_processes_of_a_step_one_changes_what_is_there(memory, is_writer):
    @places.changes("run", writes=lambda: is_writer)
    def step(run):
        assert read(run) == before
        write(run, a="2")

    before = {}
    step(HERE)
    memory.pipe_file("/bucket/run/a", b"1")
    before = {"a": "1"}
    step(HERE)
    assert stored(memory) == {"a": "2" if is_writer else "1"}


def test_an_outline_has_large_files_by_name_alone(memory, asked):
    large = b"x" * 100_000
    memory.pipe({"/bucket/run/1/big": large, "/bucket/run/small": b"s"})
    with changing(HERE, outline=True) as folder:
        assert read(folder) == {"1/big": "", "small": "s"}
        write(folder, **{"2__big": "new"})
    assert stored(memory) == {"1/big": large.decode(), "2/big": "new", "small": "s"}
    with changing(HERE) as folder:
        assert read(folder)["1/big"] == large.decode()


def test_a_file_at_an_address_is_one_file(memory, machine):
    with changing("memory://bucket/tags.csv") as file:
        file.write_text("1")
    assert list(memory.store) == ["/bucket/tags.csv"]
    machine("second")
    assert local("memory://bucket/tags.csv").read_text() == "1"


def test_a_model_has_what_lies_beside_it(memory):
    memory.pipe({"/bucket/run/best.keras": b"m", "/bucket/run/labels.json": b"{}"})
    assert sorted(read(local(f"{HERE}/best.keras").parent)) == ["best.keras", "labels.json"]


def test_a_mirror_knows_its_address_and_is_shown_as_it(memory, machine):
    with changing(HERE) as folder:
        write(folder, a="1")
    assert places.address_of(folder) == HERE
    assert places.address_of(folder / "a") == f"{HERE}/a"
    assert places.address_of(folder.parent) is None
    assert places.with_addresses(f"see {folder}/a, {folder}.partial") == (
        f"see {HERE}/a, {folder}.partial"
    )
    places._shown.clear()  # as in another process
    assert places.address_of(folder / "a") == f"{HERE}/a"
    with changing(folder) as again:
        write(again, b="2")
    assert stored(memory) == {"a": "1", "b": "2"}


def test_nothing_at_an_address_is_said(memory):
    with pytest.raises(UserError, match=f"nothing is at {HERE}"):
        local(HERE)


@pytest.mark.parametrize("name", ["../up", "a//b", "a/./b"])
def test_names_that_lead_out_of_the_folder_are_refused(memory, machine, monkeypatch, name):
    memory.store[f"/bucket/run/{name}"] = memory.open("/x", "wb")
    with pytest.raises(UserError, match="has no name that a file can have"):
        local(HERE)


@pytest.mark.parametrize("scheme", ["file://", "FILE://", "file:"])
def test_a_file_address_is_the_path(scheme, tmp_path):
    assert anywhere(f"{scheme}{tmp_path}/a%20b") == tmp_path / "a b"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3:/bucket/x", "expected s3://bucket/x"),
        ("s3://", "expected s3://BUCKET/NAME"),
        ("s4://bucket/x", "expected s3://, gs://, az://"),
        ("https://shop.example/x", "expected s3://"),
        ("s3://bucket/../x", "expected names between /"),
    ],
)
def test_a_wrong_address_says_what_was_expected(address, said):
    with pytest.raises(UserError, match=said) as error:
        anywhere(address)
    assert address in str(error.value)
