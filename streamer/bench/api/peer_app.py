"""The endpoint that people write today, to be measured against: insightface's FaceAnalysis behind FastAPI.

/embeddings is written as most are, an `async def` that does it all on the event loop; /embeddings-in-threads as FastAPI
advises for work that blocks.

A program of its own, run by the Python of an environment that holds insightface and nothing of ours. In: the folder
for FaceAnalysis (models/bench/*.onnx in it). It prints its port, and serves until it is killed.
"""

import asyncio
import socket
import sys
from typing import Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile


def main() -> None:
    from insightface.app import FaceAnalysis  # here alone: it is not in whosthere's own environment

    faces = FaceAnalysis(
        name="bench", root=sys.argv[1], allowed_modules=["detection", "recognition"], providers=["CPUExecutionProvider"]
    )
    faces.prepare(ctx_id=-1, det_size=(640, 640))
    faces.get(np.zeros((480, 640, 3), np.uint8))
    app = FastAPI()

    def found_in(image: bytes) -> dict[str, Any]:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        return {
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

    @app.post("/embeddings")
    async def embeddings(images: list[UploadFile]) -> dict[str, Any]:
        return {"images": [found_in(await image.read()) for image in images]}

    @app.post("/embeddings-in-threads")
    def embeddings_in_threads(images: list[UploadFile]) -> dict[str, Any]:
        return {"images": [found_in(image.file.read()) for image in images]}

    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        asyncio.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
