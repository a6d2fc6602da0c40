"""Files that come when they are opened, as programs open them: on this machine, and in a container of which nothing was
asked, as a user who may nothing."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.run.conftest import BIG, CONTENT

if TYPE_CHECKING:
    from tests.run.conftest import Place

if sys.platform != "linux":
    pytest.skip("`gotdata run` needs Linux", allow_module_level=True)

B = "data/cells/deep/er/b.bin"
SUM = hashlib.sha256(BIG).hexdigest()

OPENAT2 = """
import ctypes, os, sys, struct
folder, _, name = sys.argv[1].rpartition("/")
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(folder, os.O_PATH)
BENEATH, NO_SYMLINKS = 0x08, 0x04
how = struct.pack("<QQQ", os.O_RDONLY, 0, BENEATH | NO_SYMLINKS)
found = libc.syscall(437, fd, name.encode(), how, len(how))
assert found >= 0, os.strerror(ctypes.get_errno())
sys.stdout.buffer.write(open(found, "rb").read())
"""
MMAP = """
import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
    sys.stdout.buffer.write(memory[:])
"""
THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
def read(_):
    with open(sys.argv[1], "rb") as file:
        return file.read()
with ThreadPoolExecutor(16) as pool:
    found = set(pool.map(read, range(64)))
assert len(found) == 1
sys.stdout.buffer.write(found.pop())
"""
FOLDER = """
import os, sys
folder, name = os.path.split(sys.argv[1])
fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
os.chdir("/")
sys.stdout.buffer.write(open(os.open(name, os.O_RDONLY, dir_fd=fd), "rb").read())
"""
AGAIN = """
import os, sys
fd = os.open(sys.argv[1], os.O_PATH)
sys.stdout.buffer.write(open(f"/proc/self/fd/{fd}", "rb").read())
"""
CHANGED_AWAY = """
import os, sys
os.open(sys.argv[1], os.O_RDONLY)
sys.stdout.buffer.write(open(f"/proc/{os.getpid()}/fd/3", "rb").read())
"""

ORPHAN = """
mkfifo out
(sh -c 'cat "$1" > out' sh "$1" &)
cat out
rm out
"""

READERS = {
    "cat": ["cat"],
    "dd": ["sh", "-c", 'exec dd if="$1" status=none', "sh"],
    "shell": ["sh", "-c", 'exec cat < "$1"', "sh"],
    "bash": ["bash", "-c", 'cat < "$1"', "bash"],
    "static binary": ["busybox", "cat"],
    "perl": ["perl", "-e", 'open(F, "<:raw", $ARGV[0]) or die $!; binmode STDOUT; print while <F>'],
    "node": ["node", "-e", "process.stdout.write(require('fs').readFileSync(process.argv[1]))"],
    "python": ["python3", "-c", "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"],
    "python openat2": ["python3", "-c", OPENAT2],
    "python mmap": ["python3", "-c", MMAP],
    "python threads": ["python3", "-c", THREADS],
    "python folder": ["python3", "-c", FOLDER],
    "python O_PATH": ["python3", "-c", AGAIN],
    "python own number": ["python3", "-c", CHANGED_AWAY],
    "three generations": ["sh", "-c", 'sh -c \'sh -c "cat \\"$1\\"; :" sh "$1"; :\' sh "$1"; :', "sh"],
    "a child of nobody": ["sh", "-c", ORPHAN, "sh"],
}


ALL = """
import hashlib, json, shutil, subprocess, sys
found = {}
for name, words in json.loads(sys.argv[1]).items():
    if shutil.which(words[0]):
        done = subprocess.run([*words, sys.argv[2]], capture_output=True, timeout=50)
        found[name] = done.stderr.decode() or hashlib.sha256(done.stdout).hexdigest()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def read(place: Place) -> dict[str, str]:
    """What each reader read, in one run: the hash of it, or what it complained of."""
    found: dict[str, str] = json.loads(place.opened("python3", "-c", ALL, json.dumps(READERS), B).stdout)
    return found


@pytest.mark.parametrize("reader", READERS)
def test_a_program_reads_what_is_there(read: dict[str, str], reader: str) -> None:
    if reader not in read:
        pytest.skip(f"no {READERS[reader][0]} there")
    assert read[reader] == SUM


def test_a_path_may_be_written_in_any_way(place: Place) -> None:
    script = """
for path in data/cells/deep/../deep/er/b.bin ./data//cells/deep/er/b.bin "$PWD/data/cells/deep/er/b.bin" \\
    /proc/self/cwd/data/cells/deep/er/b.bin
do
    sha256sum < "$path"
done
"""
    assert place.sh(script).stdout.split() == [SUM, "-"] * 4


def test_links_lead_to_it(place: Place) -> None:
    script = 'ln -s "$PWD/data/cells/deep" one; ln -s one/er/b.bin two; sha256sum < two; rm one two'
    assert place.sh(script).stdout.split() == [SUM, "-"]


def test_a_name_with_odd_characters(place: Place) -> None:
    assert place.opened("cat", "data/cells/deep/it's a name.txt").stdout == "odd\n"


def test_awk_reads_lines(place: Place) -> None:
    assert place.opened("awk", "{ print NR, $0 }", "data/cells/a.txt").stdout == "1 hello\n"


def test_the_working_folder_may_be_inside(place: Place) -> None:
    assert place.sh("cd data/cells/deep/er; sha256sum b.bin").stdout.split() == [SUM, "b.bin"]


def test_what_stat_says(place: Place) -> None:
    script = (
        "stat -c '%s %a %F' data/cells/a.txt data/cells/deep/er/b.bin; stat -c '%s %F' data/cells/empty; ls data/cells"
    )
    assert place.sh(script).stdout.splitlines() == [
        "6 0 regular file",
        f"{len(BIG)} 0 regular file",
        "0 regular empty file",
        "a.txt",
        "deep",
        "empty",
        "nul",
    ]


def test_nothing_can_be_written(place: Place) -> None:
    script = """
import errno, os
path = "data/cells/a.txt"
for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_APPEND):
    try:
        os.open(path, flags)
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError(flags)
try:
    os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
except FileExistsError:
    pass
try:
    os.open(path, os.O_RDONLY | os.O_DIRECTORY)
except NotADirectoryError:
    pass
for change in (lambda: os.unlink(path), lambda: os.rename(path, "a.txt"), lambda: os.mkdir("data/cells/new")):
    try:
        change()
    except PermissionError:
        continue
    raise AssertionError
print(os.access(path, os.R_OK), os.access(path, os.W_OK), os.access(path, os.X_OK), open(path).read(), end="")
"""
    assert place.opened("python3", "-c", script).stdout == "True False False hello\n"


def test_nobody_gives_a_placeholder_rights(place: Place) -> None:
    """Else whoever nobody answers for reads zeros: processes beside the run, or all when it was killed."""
    script = """
import ctypes, errno, os
path = b"data/cells/a.txt"
os.symlink(path, "link")
held, folder = os.open(path, os.O_PATH), os.open("data/cells", os.O_RDONLY)
FCHMODAT2, NOFOLLOW, EMPTY_PATH = 452, 0x100, 0x1000
libc = ctypes.CDLL(None, use_errno=True)
def second(folder, path, flags):
    if libc.syscall(FCHMODAT2, folder, path, 0o644, flags):
        raise OSError(ctypes.get_errno(), "fchmodat2")
ways = [
    lambda: os.chmod(path, 0o644),
    lambda: os.chmod("link", 0o644),
    lambda: os.chmod("a.txt", 0o644, dir_fd=folder),
    lambda: os.chmod(f"/proc/self/fd/{held}", 0o644),
]
libc.syscall(FCHMODAT2, -1, b"", 0, 0)
if ctypes.get_errno() != errno.ENOSYS:  # Linux 6.6
    ways += [lambda: second(folder, b"a.txt", NOFOLLOW), lambda: second(held, b"", EMPTY_PATH)]
for number, way in enumerate(ways):
    try:
        way()
    except OSError as error:
        assert error.errno == errno.EROFS, (number, error)
    else:
        raise AssertionError(number)
os.unlink("link")
open("own", "w").close()
os.chmod("own", 0o640)
print(oct(os.stat(path).st_mode), oct(os.stat("own").st_mode))
os.unlink("own")
"""
    assert place.opened("python3", "-c", script).stdout == "0o100000 0o100640\n"


def test_each_open_has_a_place_of_its_own_in_the_file(place: Place) -> None:
    script = """
import os
fds = [os.open("data/cells/a.txt", os.O_RDONLY) for _ in range(3)]
assert [os.read(fd, 3) for fd in fds] == [b"hel"] * 3
pid = os.fork()
"""
    place.opened("python3", "-c", script)


def test_close_on_exec_is_as_it_was_asked_for(place: Place) -> None:
    script = """
import ctypes, fcntl, os
libc = ctypes.CDLL(None)
for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC):
    fd = libc.open(b"data/cells/a.txt", flags)
    assert bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC) == bool(flags & os.O_CLOEXEC)
    assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
"""
    place.opened("python3", "-c", script)


def test_other_ways_into_the_kernel_are_shut(place: Place) -> None:
    script = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
assert libc.syscall(425, 8, 0) == -1
print(errno.errorcode[ctypes.get_errno()], flush=True)
libc.syscall(0x40000000 | 2, b"data/cells/a.txt", 0)
print("still here")
"""
    done = place.opened("python3", "-c", script, code=128 + 31)
    assert done.stdout == "ENOSYS\n"


def test_an_address_that_is_none_is_the_callers_mistake(place: Place) -> None:
    script = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for address in (0, 8, -1, 1 << 47):
    assert libc.syscall(257, -100, ctypes.c_void_p(address), 0) == -1
    assert ctypes.get_errno() == errno.EFAULT, address
    assert libc.syscall(437, -100, b"data/cells/a.txt", ctypes.c_void_p(address), 24) == -1
    assert ctypes.get_errno() == errno.EFAULT, address
libc.syscall(437, -100, b"data/cells/a.txt", b"", 8)
assert ctypes.get_errno() == errno.EINVAL
libc.syscall(257, -100, b"a" * 5000, 0)
assert ctypes.get_errno() == errno.ENAMETOOLONG
"""
    place.opened("python3", "-c", script)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["no-such-command"], 127),
        (["./data"], 126),
        (["true"], 0),
    ],
)
def test_the_exit_code_is_the_commands(place: Place, command: list[str], code: int) -> None:
    said = place.opened(*command, code=code).stderr
    assert (f"gotdata: {command[0]}: " in said) == (code in (126, 127))


def test_a_killed_supervisor_is_stood_in_for(place: Place) -> None:
    """The command's parent is the process that answers its opens."""
    done = place.sh('kill -9 $PPID; sha256sum < "$0"; cat data/cells/a.txt; exit 5'.replace("$0", B), code=5)
    assert done.stdout.split() == [SUM, "-", "hello"]
    assert "was killed" in done.stderr


def test_supervisors_killed_under_many_readers_cost_them_no_wrong_byte(place: Place) -> None:
    script = """
import hashlib, os, signal, sys, threading
wrong, tried = [], 0
def read():
    for _ in range(200):
        try:
            with open(sys.argv[1], "rb") as file:
                found = hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            found = type(error).__name__
        if found not in (sys.argv[2], "InterruptedError"):
            wrong.append(found)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
os.kill(os.getppid(), signal.SIGKILL)
for thread in threads:
    thread.join()
print(wrong)
"""
    assert place.opened("python3", "-c", script, B, SUM).stdout == "[]\n"


GRANDPARENT = "awk '/^PPid/ { print $2 }' /proc/$PPID/status"


def test_without_who_brings_the_data_opens_give_an_error_and_all_else_goes_on(place: Place) -> None:
    script = f"""
exec 3< data/cells/a.txt
kill -9 $({GRANDPARENT})
cat /etc/hostname > /dev/null && echo others
cat {B} || echo refused
cat <&3
"""
    process = place.popen(*place.gotdata("run", "--as", "open", "--", "sh", "-c", script))
    out, err = process.communicate(timeout=60)
    assert out.splitlines() == ["others", "refused", "hello"]
    assert "Input/output error" in err
    assert "the process that brings the data was killed" in err
    assert place.left() != []
    place.run(*place.gotdata("down"))
    assert place.left() == []


def test_without_anybody_to_answer_opens_are_refused(place: Place) -> None:
    script = f"""
parent=$PPID
kill -9 $({GRANDPARENT}) $parent
read line < data/cells/a.txt && echo "read: $line" || echo refused
read line < /etc/hostname && echo "read: $line" || echo refused
"""
    process = place.popen(*place.gotdata("run", "--as", "open", "--", "sh", "-c", script))
    out, err = process.communicate(timeout=60)
    assert out.splitlines() == ["refused", "refused"]
    assert "Function not implemented" in err
    # The next one tidies up.
    assert place.opened("cat", "data/cells/a.txt").stdout == "hello\n"


def test_what_the_command_leaves_running_goes_on_without_data(place: Place) -> None:
    script = """
exec > /dev/null 2>&1 < /dev/null
late() {
    while test -e data; do sleep 0.05; done
    cat /etc/passwd > late.new
    mv late.new late
}
late &
"""
    place.sh(script)
    place.run("sh", "-c", "until test -e late; do sleep 0.05; done; grep -q root late; tail -n 1 late; rm late")


def test_nobody_waits_for_a_pipe_that_only_gotdata_holds(place: Place) -> None:
    words = place.gotdata("run", "--as", "open", "--", "sh", "-c", "echo done; sleep 30 > /dev/null 2>&1 < /dev/null &")
    assert place.run(*words, timeout=20).stdout == "done\n"


def test_the_command_has_the_open_files_of_the_shell(place: Place) -> None:
    words = " ".join(place.gotdata("run", "--as", "open", "--", "cat", "<(echo handed)", "data/cells/a.txt"))
    assert place.run("bash", "-c", words).stdout == "handed\nhello\n"


def test_two_at_once_share_what_is_there(place: Place) -> None:
    waits = 'test "$1" = 1 && mkfifo go && read x < go; cat data/cells/a.txt; test "$1" = 1 || echo > go'
    first = place.popen(*place.gotdata("run", "--as", "open", "--", "sh", "-c", waits, "sh", "1"))
    place.run("sh", "-c", "until test -p go; do sleep 0.05; done")
    second = place.run(*place.gotdata("run", "--as", "open", "--", "sh", "-c", waits, "sh", "2"))
    out, _ = first.communicate(timeout=60)
    (place.root / "go").unlink()
    assert (out, second.stdout, first.returncode) == ("hello\n", "hello\n", 0)
    assert place.left() == []


def test_every_file_has_its_bytes(place: Place) -> None:
    found = place.sh("cd data/cells; find . -type f -print0 | sort -z | xargs -0 sha256sum").stdout
    expected = {hashlib.sha256(body).hexdigest(): f"./{path}" for path, body in CONTENT.items()}
    assert {line[:64]: line[66:] for line in found.splitlines()} == expected


def test_in_a_container_of_which_nothing_was_asked_it_is_the_best_way(container: Place) -> None:
    (plan,) = json.loads(container.run(*container.gotdata("run", "--plan", "--json")).stdout)
    assert (plan["as"], plan["fetch"]) == ("open", 0)
    assert "no mount: " in plan["why"]
    assert "no namespace: a user namespace is refused here" in plan["why"]
    found = json.loads(container.run(*container.gotdata("doctor", "--json")).stdout)
    (run,) = [one for one in found if one["topic"] == "run"]
    assert run["seen"] == "`gotdata run` has data for a command as open"
    assert run["cure"] == plan["why"]


def test_root_in_such_a_container_gets_a_copy(container: Place) -> None:
    words = ["/root/store".join(word.split("/tmp/store")) for word in container.prefix]
    root = replace(container, prefix=[*words[:2], "--user=0", *words[2:]])
    done = root.run(*root.gotdata("run", "--", "stat", "-c", "%a %s", "data/cells/a.txt"))
    assert done.stdout == "444 6\n"
    assert "may read what nobody may" in done.stderr
    assert container.left() == []
