"""The loop that people write today, to be measured against: insightface's FaceAnalysis over cv2.VideoCapture.

A program of its own, run by the Python of an environment that holds insightface and nothing of ours. In: the
folder for FaceAnalysis (models/bench/*.onnx in it), a clip, and a file for the answer. Out: that .npz (frames'
faces with boxes, scores and embeddings) and one JSON line with times on stdout.
"""

import json
import sys
import time

import cv2
import numpy as np


def main() -> None:
    from insightface.app import FaceAnalysis  # here alone: it is not in whosthere's own environment

    root, clip, answer = sys.argv[1:4]
    app = FaceAnalysis(
        name="bench", root=root, allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    app.prepare(ctx_id=-1, det_size=(640, 640))
    app.get(np.zeros((480, 640, 3), np.uint8))
    rows: list[tuple[int, list[float], float]] = []
    embeddings: list[np.ndarray] = []
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    capture = cv2.VideoCapture(clip)
    frames = 0
    while True:
        more, image = capture.read()
        if not more:
            break
        for face in app.get(image):
            rows.append((frames, [float(edge) for edge in face.bbox], float(face.det_score)))
            embeddings.append(face.normed_embedding)
        frames += 1
    elapsed_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    np.savez(
        answer,
        frame=np.array([row[0] for row in rows], np.int64),
        box=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        score=np.array([row[2] for row in rows], np.float32),
        embedding=np.array(embeddings, np.float32).reshape(len(rows), -1),
    )
    result = {"frames": frames, "faces": len(rows), "seconds": elapsed_s, "cpu_seconds": cpu_s}
    sys.stdout.write("\n" + json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
