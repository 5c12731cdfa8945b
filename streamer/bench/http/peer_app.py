"""The endpoint that people write today, to be measured against: insightface's FaceAnalysis behind FastAPI.

A program of its own, run by the Python of an environment that holds insightface and nothing of ours. In: the folder
for FaceAnalysis (models/bench/*.onnx in it). It prints its port, and serves until it is killed.
"""

import asyncio
import socket
import sys
from typing import Annotated, Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, File


def main() -> None:
    from insightface.app import FaceAnalysis  # here alone: it is not in whosthere's own environment

    faces = FaceAnalysis(
        name="bench", root=sys.argv[1], allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    faces.prepare(ctx_id=-1, det_size=(640, 640))
    faces.get(np.zeros((480, 640, 3), np.uint8))
    app = FastAPI()

    @app.post("/embeddings")
    def embeddings(images: Annotated[list[bytes], File()]) -> dict[str, Any]:
        found = []
        for image in images:
            pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
            found.append(
                {
                    "faces": [
                        {
                            "box": face.bbox.tolist(),
                            "score": float(face.det_score),
                            "landmarks": face.kps.tolist(),
                            "embedding": face.normed_embedding.tolist(),
                        }
                        for face in faces.get(pixels)
                    ]
                }
            )
        return {"images": found}

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        asyncio.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
