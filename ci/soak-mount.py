"""Kills a service under sqlite: soak-mount.py OUZEL FOLDER KILLS SECONDS SEED, as ci/soak-mount says.

Three processes each commit numbered rows to one database in WAL mode on a mounted service, and note outside the mount, behind
each commit, that they were told it is there. Meanwhile the service is killed and started again. A process that has an error
from sqlite opens the database anew; one that a signal ended (its mapping could not be read while the service was away) is
started again. No number is used twice: what was not told of may be there or not.
"""

import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

WRITERS = 3


def text(writer, number):
    """What is in a row: from it alone one sees whether it is right."""
    seed = f"{writer} {number}"
    return hashlib.sha256(seed.encode()).hexdigest() * (1 + number % 40)


def connect(path):
    database = sqlite3.connect(path, timeout=20, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA wal_autocheckpoint=60")
    database.execute("CREATE TABLE IF NOT EXISTS rows (writer INTEGER, number INTEGER, text TEXT, PRIMARY KEY (writer, number))")
    return database


def write(path, writer, noted, first):
    """Commits rows for ever."""
    told = os.open(noted, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    tried = os.open(noted + ".tried", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    number, database = first, None
    while True:
        try:
            database = database or connect(path)
            number += 1
            os.write(tried, f"{number}\n".encode())
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO rows VALUES (?, ?, ?)", (writer, number, text(writer, number)))
            database.execute("COMMIT")
            os.write(told, f"{number}\n".encode())
            if number % 97 == 0:
                database.close()
                database = None
        except sqlite3.Error:
            try:
                if database:
                    database.close()
            except sqlite3.Error:
                pass
            database = None
            time.sleep(0.01)


def numbers(path):
    try:
        with open(path, encoding="ascii") as file:
            return [int(line) for line in file.read().split()]
    except FileNotFoundError:
        return []


class Soak:
    def __init__(self, ouzel, folder):
        self.ouzel, self.folder = ouzel, folder
        self.database = os.path.join(folder, "at", "database")
        self.service = self.mount = None
        self.writers = [None] * WRITERS
        self.signals = 0

    def begin(self, arguments, line):
        process = subprocess.Popen([self.ouzel, *arguments], stderr=subprocess.PIPE, text=True)
        said = process.stderr.readline()
        if not said.startswith(line):
            raise SystemExit(f"FAILED: {arguments}: {said}")
        return process

    def serve(self):
        what = "file:" + os.path.join(self.folder, "served")
        self.service = self.begin(["serve", what, "--name", "soak"], "serving")

    def kill(self):
        self.service.kill()
        self.service.wait()
        self.service.stderr.close()

    def noted(self, writer):
        return os.path.join(self.folder, f"told-{writer}")

    def write(self):
        """Starts the writers that are not there."""
        for writer, process in enumerate(self.writers):
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                if process.returncode != -signal.SIGBUS:
                    raise SystemExit(f"FAILED: writer {writer} ended with {process.returncode}")
                self.signals += 1
            first = max(numbers(self.noted(writer) + ".tried"), default=0)
            arguments = [sys.executable, __file__, "write", self.database, str(writer), self.noted(writer), str(first)]
            self.writers[writer] = subprocess.Popen(arguments)

    def told(self):
        return sum(os.path.getsize(self.noted(w)) for w in range(WRITERS) if os.path.exists(self.noted(w)))

    def end(self):
        for process in self.writers:
            if process is not None:
                process.kill()
                process.wait()
        if self.mount is not None:
            self.mount.terminate()
            self.mount.wait(20)
        if self.service is not None:
            self.service.terminate()
            self.service.wait(20)


def check(path, soak):
    database = sqlite3.connect(path)
    answer = database.execute("PRAGMA integrity_check").fetchall()
    if answer != [("ok",)]:
        raise SystemExit(f"FAILED: {path}: integrity_check says {answer[:5]}")
    rows, missing = 0, []
    for writer in range(WRITERS):
        there = dict(database.execute("SELECT number, text FROM rows WHERE writer = ?", (writer,)))
        rows += len(there)
        for number, found in there.items():
            if found != text(writer, number):
                raise SystemExit(f"FAILED: {path}: row {number} of {writer} is not what was written")
        missing += [(writer, number) for number in numbers(soak.noted(writer)) if number not in there]
    database.close()
    if missing:
        raise SystemExit(f"FAILED: {path}: {len(missing)} rows that were told of are not there: {missing[:5]}")
    return rows


def main(ouzel, folder, kills, seconds, seed):
    chance = random.Random(seed)
    soak = Soak(ouzel, folder)
    started, done, idle = time.monotonic(), 0, 0
    try:
        soak.serve()
        soak.mount = soak.begin(["mount", "soak:", os.path.join(folder, "at")], "mounted")
        soak.write()
        before = 0
        while done < kills and time.monotonic() - started < seconds:
            # Mostly in the midst of work.
            time.sleep(chance.uniform(0.02, 0.25))
            if soak.told() == before:
                idle += 1
                if idle > 400:
                    raise SystemExit("FAILED: nothing is committed any more")
                soak.write()
                continue
            before, idle = soak.told(), 0
            soak.kill()
            time.sleep(chance.choice([0, 0, chance.uniform(0, 0.3)]))
            soak.serve()
            soak.write()
            done += 1
        for process in soak.writers:
            process.kill()
            process.wait()
        soak.writers = [None] * WRITERS
        rows = check(soak.database, soak)
        acknowledged = sum(len(numbers(soak.noted(writer))) for writer in range(WRITERS))
        soak.mount.terminate()
        if soak.mount.wait(20) != 0 or os.path.ismount(os.path.join(folder, "at")):
            raise SystemExit("FAILED: it is not unmounted cleanly")
        soak.mount = None
        # What the directory has says the same, to who has never heard of the mount.
        check(os.path.join(folder, "served", "database"), soak)
    finally:
        soak.end()
    print(f"{done} kills, {acknowledged} rows told of and {rows} there, none lost, {soak.signals} writers ended by SIGBUS")


if sys.argv[1] == "write":
    write(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
else:
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
