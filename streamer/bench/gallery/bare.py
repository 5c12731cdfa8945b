"""The limit: what the same work costs with nothing around it, in the libraries that do it.

Blocks; one after another, with nothing else running in this process.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import cv2
import faiss
import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recognition.arrays import F32, U8
from streamer.bench.gallery.crowd import SCHEMA

_PROFILE_BYTES = 150
_NONCE = bytes(12)


def start_cpu_s(gallery: Path) -> float:
    """Rows read, two keys a person unwrapped, a profile and a template a person decrypted, the index filled."""
    with closing(sqlite3.connect(gallery)) as db:
        (people,) = db.execute("SELECT count(*) FROM people").fetchone()
        (dim,) = db.execute("SELECT length(embedding) / 4 FROM templates LIMIT 1").fetchone()
        master = AESGCM(os.urandom(32))
        wrapped = master.encrypt(_NONCE, bytes(32), b"")
        key = AESGCM(bytes(32))
        profile, template = (key.encrypt(_NONCE, bytes(size), b"") for size in (_PROFILE_BYTES, 4 * dim))
        began_s = time.process_time()
        db.execute("SELECT id, name FROM people").fetchall()
        rows = db.execute("SELECT id, person_id, embedding FROM templates ORDER BY id").fetchall()
        for sealed in (profile, template):
            for _ in range(people):
                AESGCM(master.decrypt(_NONCE, wrapped, b"")).decrypt(_NONCE, sealed, b"")
        matrix = np.frombuffer(b"".join(row[2] for row in rows), "<f4").reshape(people, dim)
        faiss.IndexFlatIP(dim).add(matrix)
        return time.process_time() - began_s


def search_ms(templates: F32, probes: F32, top_k: int) -> list[float]:
    """FAISS alone, each probe (d,) of (n,d) by itself, on one thread as ours."""
    index = faiss.IndexFlatIP(templates.shape[1])
    index.add(templates)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    took_ms = []
    for row in range(len(probes)):
        began_s = time.perf_counter()
        index.search(probes[row : row + 1], top_k)
        took_ms.append(1000.0 * (time.perf_counter() - began_s))
    faiss.omp_set_num_threads(threads)
    return took_ms


def enrol_s(folder: Path, chips: U8, people: int) -> float:
    """Each chip of (n,256,256,3) to JPEG, a row for it and its template, a commit a person; nothing is looked up."""
    embedding, landmarks = bytes(2048), bytes(40)
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db:
        db.executescript(SCHEMA)
        db.execute("PRAGMA synchronous = FULL")
        began_s = time.monotonic()
        for number in range(people):
            person_id = f"p{number}"
            pictures = [cv2.imencode(".jpg", chip, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes() for chip in chips]
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO people VALUES (?, ?, 0)", (person_id, person_id))
            for photo, picture in enumerate(pictures):
                row = db.execute(
                    "INSERT INTO photos VALUES (NULL, ?, ?, ?, 0.9, ?, 0)", (person_id, picture, landmarks, str(photo))
                ).lastrowid
                db.execute("INSERT INTO templates VALUES (NULL, ?, ?, 'bare', ?, 0.9, '')", (row, person_id, embedding))
            db.execute("COMMIT")
        return time.monotonic() - began_s
