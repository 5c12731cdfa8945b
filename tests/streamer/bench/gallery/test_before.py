"""The release before comes out of git, and without git, or without so much of it, there is none."""

import subprocess

from streamer.bench.gallery.before import before


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_its_files_are_those_of_then(tmp_path):
    project, bench = tmp_path / "project", tmp_path / "bench"
    (project / "gallery").mkdir(parents=True)
    git(project, "init", "-q")
    file = project / "gallery" / "store.py"
    commits = []
    for text in ("then", "now"):
        file.write_text(text)
        git(project, "add", ".")
        git(project, "commit", "-q", "-m", text)
        commits.append(git(project, "rev-parse", "HEAD"))
    unpacked = before(bench, commits[0], project)
    assert unpacked is not None
    assert (unpacked / "gallery" / "store.py").read_text() == "then"
    assert file.read_text() == "now"
    (unpacked / "gallery" / "store.py").write_text("as it was left")
    assert before(bench, commits[0], project) == unpacked
    assert (unpacked / "gallery" / "store.py").read_text() == "as it was left"


def test_without_history_there_is_none(tmp_path):
    assert before(tmp_path / "bench", "cb1c6e7", tmp_path) is None
    git(tmp_path, "init", "-q")
    assert before(tmp_path / "bench", "cb1c6e7", tmp_path) is None
    assert not (tmp_path / "bench").exists()


def test_without_git_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert before(tmp_path / "bench") is None
