"""`osa-grpc contract export` gives all that a client in another language is made from."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from osa_grpc.cli import exit_codes
from osa_grpc.cli.main import cli
from osa_grpc.wire import contract_files
from tests.fixtures.documents import ROOT

BUF = Path(sys.executable).parent / "buf"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("exported") / "contract"
    result = CliRunner().invoke(cli, ["contract", "export", str(directory), "--descriptor-set"])
    assert result.exit_code == 0, result.output
    return directory


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def protos_in(directory: Path) -> list[str]:
    return sorted(name for name in files_in(directory) if name.endswith(".proto"))


def protoc(directory: Path, *options: str) -> None:
    """Compile all that is there with no other folder to look in; protoc has google/protobuf of its own."""
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *options, *protos_in(directory)],
        cwd=directory,
        check=True,
    )


def test_what_is_exported_is_the_contract_with_its_comments(exported: Path) -> None:
    ours = {name: content for name, content in files_in(exported).items() if name.startswith("opensci")}
    assert ours == {
        path.relative_to(ROOT / "proto").as_posix(): path.read_bytes()
        for path in (ROOT / "proto").rglob("*.proto")
    }


def test_what_is_exported_compiles_with_nothing_else(exported: Path, tmp_path: Path) -> None:
    protoc(exported, f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}")
    generated = {name.removesuffix("_pb2.py") for name in files_in(tmp_path) if name.endswith("_pb2.py")}
    assert generated == {name.removesuffix(".proto") for name in protos_in(exported)}


def test_what_is_exported_builds_with_buf(exported: Path, tmp_path: Path) -> None:
    subprocess.run([BUF, "build", str(exported), "-o", str(tmp_path / "image.binpb")], cwd="/", check=True)
    image = FileDescriptorSet.FromString((tmp_path / "image.binpb").read_bytes())
    assert set(protos_in(exported)) <= {file.name for file in image.file}


def test_the_details_of_errors_are_exported_though_nothing_imports_them(exported: Path) -> None:
    wanted = {"google/rpc/status.proto", "google/rpc/error_details.proto", "google/rpc/code.proto"}
    assert wanted <= set(protos_in(exported))


def test_the_service_config_is_exported(exported: Path) -> None:
    published = (ROOT / "docs" / "service-config.json").read_text()
    assert (exported / "service-config.json").read_text() == published


def test_what_every_generator_has_of_its_own_is_left_out(exported: Path) -> None:
    assert not [name for name in protos_in(exported) if name.startswith("google/protobuf/")]


def test_the_descriptor_set_is_what_protoc_makes_of_the_files(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "protoc.binpb"
    protoc(exported, "--include_imports", f"--descriptor_set_out={target}")
    expected = FileDescriptorSet.FromString(target.read_bytes())
    found = FileDescriptorSet.FromString((exported / "contract.binpb").read_bytes())
    assert {file.name for file in found.file} == {file.name for file in expected.file}
    by_name = {file.name: file for file in expected.file}
    for file in found.file:
        file.ClearField("source_code_info")
        assert file == by_name[file.name]


def test_the_descriptor_set_has_the_comments_of_the_contract(exported: Path) -> None:
    found = FileDescriptorSet.FromString((exported / "contract.binpb").read_bytes())
    comments = {
        file.name: [place.leading_comments.strip() for place in file.source_code_info.location]
        for file in found.file
    }
    assert "A column as a query sees it." in comments["opensciencearchive/v1/feature.proto"]
    assert {name for name, said in comments.items() if said} == {
        name for name in comments if name.startswith("opensciencearchive/")
    }


def test_the_descriptor_set_has_each_file_after_what_it_imports(exported: Path) -> None:
    there: set[str] = set()
    for file in FileDescriptorSet.FromString((exported / "contract.binpb").read_bytes()).file:
        assert set(file.dependency) <= there
        there.add(file.name)


def test_exporting_again_replaces_what_is_there_and_gives_the_same(exported: Path, tmp_path: Path) -> None:
    old = tmp_path / "opensciencearchive" / "v1" / "run.proto"
    old.parent.mkdir(parents=True)
    old.write_text("of an older release")
    for _ in range(2):
        result = CliRunner().invoke(cli, ["--output", "json", "contract", "export", str(tmp_path)])
        assert result.exit_code == 0, result.output
        written = {"directory": str(tmp_path), "files": [*protos_in(exported), "service-config.json"]}
        assert json.loads(result.stdout) == written
    expected = files_in(exported)
    del expected["contract.binpb"]
    assert files_in(tmp_path) == expected


def test_where_nothing_can_be_written_the_command_says_so(tmp_path: Path) -> None:
    (tmp_path / "google").write_text("a file")
    result = CliRunner().invoke(cli, ["contract", "export", str(tmp_path)])
    assert result.exit_code == exit_codes.UNEXPECTED
    assert result.stderr.startswith("error: ")
    assert str(tmp_path / "google") in result.stderr


def test_a_file_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "contract.binpb").write_bytes(contract_files.descriptor_set().SerializeToString())
    monkeypatch.setattr(contract_files, "files", lambda _: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"google/api/field_behavior\.proto is not installed"):
        contract_files.contract_files()


def test_a_wheel_exports_the_same_without_the_repository(exported: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    target = tmp_path / "contract"
    program = f"""
import pathlib, sys
sys.path[:] = [p for p in sys.path if not pathlib.Path(p, "opensciencearchive").exists()]
sys.path.insert(0, {str(site)!r})
from osa_grpc.cli.main import cli
import opensciencearchive.v1
assert list(opensciencearchive.v1.__path__) == [{str(site / "opensciencearchive" / "v1")!r}]
cli(["contract", "export", {str(target)!r}, "--descriptor-set"])
"""
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        check=True,
    )
    assert files_in(target) == files_in(exported)
