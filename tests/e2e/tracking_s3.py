#!/usr/bin/env python3
"""Artifacts that lie in S3: a real MLflow server in front of moto, which speaks S3. Large files go
in parts through the server's signed addresses, and where the server serves no artifacts straight to
the bucket, by its signatures or by a key of one's own.
"""

import hashlib
import pathlib
import shutil
import socket
import sys
import tempfile
import unittest
import urllib.request
import xml.etree.ElementTree

import mlflow_server
from harness import PROGRAM, Store, TINY
from mlflow_server import HOME, Process, Server, is_well, version
from tracking_case import TrackingCase

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
KEYS = {"AWS_ACCESS_KEY_ID": "who", "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket",
        "AWS_DEFAULT_REGION": "us-east-1"}
PART = 5 * 1024 * 1024  # The least that S3 takes.
PIPELINE = TINY.read_text().replace('name = "tiny"', 'name = "s3"') + """
[stages.export]
uses = "export"
inputs.model = "train.model"
[stages.export.params]
images = 40
"""


class Bucket:
    """An S3 with one bucket, 'runs', in memory."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="cifarpipe-s3-"))
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            port = chosen.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = Process([HOME / "bin/moto_server", "-H", "127.0.0.1", "-p", port], self.dir,
                               self.dir / "s3.log")

    def begin(self):
        self.process.wait_for(lambda: is_well(self.url, "/moto-api/"))
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/runs", method="PUT"), timeout=30)

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def objects(self):
        """key → (size, ETag), which is a digest of the content; see etag()"""
        with urllib.request.urlopen(f"{self.url}/runs?list-type=2&max-keys=1000", timeout=30) as a:
            tree = xml.etree.ElementTree.fromstring(a.read())
        return {item.findtext(f"{NAMESPACE}Key"): (int(item.findtext(f"{NAMESPACE}Size")),
                                                   item.findtext(f"{NAMESPACE}ETag").strip('"'))
                for item in tree.iter(f"{NAMESPACE}Contents")}


def etag(content, part=None):
    """S3's ETag of an object that came whole, or in parts of `part` bytes."""
    if part is None:
        return hashlib.md5(content).hexdigest()
    digests = [hashlib.md5(content[i:i + part]).digest() for i in range(0, len(content), part)]
    return f"{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}"


class S3(TrackingCase):
    @classmethod
    def setUpClass(cls):
        cls.bucket = Bucket()
        cls.addClassCleanup(cls.bucket.stop)
        cls.bucket.begin()
        cls.kept = Store()
        cls.addClassCleanup(cls.kept.__exit__)
        cls.kept.run("run", cls.kept.write("p.toml", PIPELINE), expect=0, timeout=900,
                     env={"HOME": str(cls.kept.dir)})
        shown = cls.kept.json("runs", "show", "latest")
        cls.large = []  # What is larger than a part in the store.
        for stage in shown["stages"]:
            result = cls.kept.runs / "store" / stage["key"][:2] / stage["key"]
            for port, files in stage["outputs"].items():
                cls.large += [(result / port / f["path"]).read_bytes() for f in files
                              if f["size"] > PART]

    def setUp(self):
        self.store, self.name = self.kept, "s3"
        self.env = {"HOME": str(self.kept.dir), "MLFLOW_S3_ENDPOINT_URL": self.bucket.url}

    def serve(self, *options):
        server = Server(options=options, env={
            **KEYS, "MLFLOW_S3_ENDPOINT_URL": self.bucket.url,
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true"})
        self.addCleanup(server.__exit__)
        return server

    def check_arrived(self, server, folder, part=None):
        """The server lists what lies below `folder`, and what is large is there to the bit."""
        found = {k: v for k, v in self.bucket.objects().items() if k.startswith(f"{folder}/")}
        run = self.only(server)
        listed = run.files()
        self.assertTrue(listed)
        for path, size in listed.items():
            sizes = [v[0] for k, v in found.items() if k.endswith(f"{run.id}/artifacts/{path}")]
            self.assertEqual(sizes, [size], path)
        large = {v[1] for v in found.values() if v[0] > PART}
        self.assertTrue(large)
        self.assertLessEqual(large, {etag(content, part) for content in self.large})

    def test_large_files_in_parts(self):  # 43
        server = self.serve("--artifacts-destination", "s3://runs/proxied")
        said = self.go("sync", "--to", server.url, env={
            "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
            "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": str(PART),
            "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(PART)})
        self.assertNotIn("parked", said.out + said.err)
        self.check_arrived(server, "proxied", PART)

    def test_straight_to_the_bucket(self):  # 44
        server = self.serve("--no-serve-artifacts", "--default-artifact-root", "s3://runs/direct")
        signs = version() >= (3, 12)  # Older ones leave it to the client's key.
        said = self.go("sync", "--to", server.url, env={} if signs else KEYS)
        self.assertNotIn("parked", said.out + said.err)
        self.check_arrived(server, "direct")

    def test_without_a_key(self):  # 44
        if version() >= (3, 12):
            self.skipTest("the server signs addresses")
        server = self.serve("--no-serve-artifacts", "--default-artifact-root", "s3://runs/keyless")
        if version() < (3, 0):  # A model's files are a run's, and its pages take those.
            self.go("sync", "--to", server.url)
            return self.check_arrived(server, "keyless")
        said = self.go("sync", "--to", server.url, expect=3)
        self.assertIn("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", said.out)


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    mlflow_server.need_mlflow()
    unittest.main()
