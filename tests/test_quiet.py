"""Dropping what other packages print, while other threads print on."""

import io
import sys
import threading

import pytest

from lemur_caption.quiet import quiet


def test_the_calling_thread_alone_is_quiet(capsys):
    inside, spoken = threading.Event(), threading.Event()

    def drop():
        with quiet("stdout", "stderr"):
            print("dropped")
            print("dropped", file=sys.stderr)
            inside.set()
            assert spoken.wait(10)
            print("dropped")
        print("after")

    thread = threading.Thread(target=drop)
    thread.start()
    assert inside.wait(10)
    print("kept")
    print("told", file=sys.stderr)
    spoken.set()
    thread.join()
    assert capsys.readouterr() == ("kept\nafter\n", "told\n")


def test_threads_that_overlap_leave_the_stream_as_it_was(capsys):
    before = sys.stdout
    first, second, left = threading.Event(), threading.Event(), threading.Event()

    def early():
        with quiet():
            first.set()
            assert second.wait(10)
        left.set()

    def late():
        assert first.wait(10)
        with quiet():
            second.set()
            assert left.wait(10)
            print("dropped")

    threads = [threading.Thread(target=early), threading.Thread(target=late)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is before
    print("still here")
    assert capsys.readouterr().out == "still here\n"


def test_contexts_nest_and_exceptions_pass(capsys):
    with pytest.raises(ValueError, match="passes"), quiet():
        with quiet():
            print("dropped")
        print("dropped", file=sys.stdout)
        sys.stdout.writelines(["dropped\n"])
        print("told", file=sys.stderr)
        raise ValueError("passes")
    print("kept")
    assert capsys.readouterr() == ("kept\n", "told\n")


def test_a_stream_that_another_program_put_there_stays(monkeypatch):
    theirs = io.StringIO()
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # puts it back at the end
    with quiet():
        sys.stdout = theirs
    assert sys.stdout is theirs
