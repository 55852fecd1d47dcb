#!/usr/bin/env python3
"""How a real MLflow server is reached, and what is said where it cannot be: logins, certificates,
host names, workspaces, artifacts that it does not keep itself, and many who write at once. The
numbers are those of docs/conformance.md.
"""

import base64
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import unittest

from mlflow_server import Server, version
from tracking_case import CHAIN, TrackingCase, main

PASSWORD = "s3cret-of-the-tests"
NO_SERVER = {"MLFLOW_TRACKING_URI": None}


def login(user, password=PASSWORD):
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def basic(user):
    word = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    return {"Authorization": f"Basic {word}"}


class AccessCase(TrackingCase):
    def stored(self):
        """A run that no server was told of."""
        self.go("run", self.file(), env=NO_SERVER)

    def refused(self, server, *words, code=3, env=None):
        """sync cannot, says why with all these words, and keeps what is secret."""
        result = self.go("sync", "--to", server.url, expect=code, env=env)
        for word in words:
            self.assertIn(word, result.out + result.err)
        self.assertNotIn(PASSWORD, result.out + result.err)

    def accepted(self, server, env=None):
        self.go("sync", "--to", server.url, env=env)
        self.check_mirrored(server)


class Logins(AccessCase):
    def server_with_login(self):
        folder = tempfile.mkdtemp(prefix="cifarpipe-test-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        config = pathlib.Path(folder, "auth.ini")
        config.write_text(
            "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
            f"database_uri = sqlite:///{folder}/users.db\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n")
        return Server(options=["--app-name", "basic-auth"], headers=basic("admin"), env={
            "MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test"})

    def test_logins(self):  # 3, 6
        with self.server_with_login() as server:
            self.stored()
            self.refused(server, "wants a login (401)", "MLFLOW_TRACKING_USERNAME")
            self.refused(server, "refuses the user 'admin' with this password (401)",
                         env=login("admin", "not it"))
            self.refused(server, "refuses the token (401", env={"MLFLOW_TRACKING_TOKEN": PASSWORD})
            # Where both are given, the user wins, as with MLflow's own client.
            self.accepted(server, {**login("admin"), "MLFLOW_TRACKING_TOKEN": "whatever"})
            credentials = self.store.dir / ".mlflow/credentials"
            credentials.parent.mkdir()
            credentials.write_text("[mlflow]\nmlflow_tracking_username = admin\n"
                                   f"mlflow_tracking_password = {PASSWORD}\n")
            self.go("run", self.file(), "--new-run", env={"MLFLOW_TRACKING_URI": server.url})
            self.check_mirrored(server)
            self.assertEqual(len(self.remote(server)), 2)

    def test_a_user_who_may_only_read(self):  # 6
        with self.server_with_login() as server:
            server.look.post("users/create", username="guest", password=PASSWORD)
            server.look.post("experiments/create", name=self.name)
            # Training goes on, whatever the server thinks of it.
            result = self.go("run", self.file(), env={
                **login("guest"), "MLFLOW_TRACKING_URI": server.url})
            self.assertIn("403", result.err)
            self.refused(server, "403", env=login("guest"))
            self.accepted(server, login("admin"))


class Certificates(AccessCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cifarpipe-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make(self):
        """ca.pem, server.pem and client.pem; the latter two with their keys."""
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self.openssl("req", "-x509", *key, "-subj", "/CN=tests", "-days", 2, "-keyout", "ca.key",
                     "-out", "ca.pem")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        for name in ("server", "client"):
            self.openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                         f"{name}.csr")
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                         "-CAcreateserial", "-days", 2, "-extfile", "names", "-out", f"{name}.pem")
            with open(self.folder / f"{name}.pem", "a") as both:
                both.write((self.folder / f"{name}.key").read_text())

    def guarded_server(self):
        """One that knows its clients by their certificates."""
        pem, ca = self.folder / "server.pem", self.folder / "ca.pem"
        if version() >= (3, 3):
            option = ("--uvicorn-opts", f"--ssl-keyfile {pem} --ssl-certfile {pem} "
                      f"--ssl-ca-certs {ca} --ssl-cert-reqs {int(ssl.CERT_REQUIRED)}")
        else:
            option = ("--gunicorn-opts", f"--keyfile {pem} --certfile {pem} --ca-certs {ca} "
                      f"--cert-reqs {int(ssl.CERT_REQUIRED)}")
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(self.folder / "client.pem")
        return Server(options=option, context=context)

    def test_certificates(self):  # 4
        self.make()
        authority = {"MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.folder / "ca.pem")}
        own = {"MLFLOW_TRACKING_CLIENT_CERT_PATH": str(self.folder / "client.pem")}
        careless = {"MLFLOW_TRACKING_INSECURE_TLS": "true"}
        with self.guarded_server() as server:
            self.stored()
            self.refused(server, "certificate", "MLFLOW_TRACKING_SERVER_CERT_PATH", env=own)
            self.refused(server, "MLFLOW_TRACKING_CLIENT_CERT_PATH", env=authority)
            self.refused(server, "MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_SERVER_CERT_PATH",
                         code=2, env={**authority, **careless})
            self.accepted(server, {**authority, **own})
            self.go("run", self.file(), "--new-run",
                    env={"MLFLOW_TRACKING_URI": server.url, **careless, **own})
            self.check_mirrored(server)


class Servers(AccessCase):
    @unittest.skipIf(version() < (3, 5), "servers before 3.5 answer to any name")
    def test_a_server_by_another_name(self):  # 5
        with Server(options=["--allowed-hosts", "mlflow.example"]) as server:
            self.stored()
            self.refused(server, "--allowed-hosts", f"127.0.0.1:{server.port}")

    @unittest.skipIf(version() < (3, 10), "servers before 3.10 have no workspaces")
    def test_workspaces(self):  # 10
        team = {"MLFLOW_WORKSPACE": "team"}
        with Server(options=["--enable-workspaces"]) as server:
            server.look.call("/api/3.0/mlflow/workspaces", {"name": "team"})
            self.go("run", self.file(), env={"MLFLOW_TRACKING_URI": server.url, **team})
            self.assertEqual(self.remote(server), [])
            server.headers["X-MLFLOW-WORKSPACE"] = "team"
            self.check_mirrored(server)
            self.assertTrue(self.only(server).files())
        self.refused(self.server, "has no workspaces", env=team)

    def test_artifacts_in_a_folder_that_both_see(self):  # 42
        folder = tempfile.mkdtemp(prefix="cifarpipe-test-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with Server(options=["--no-serve-artifacts", "--default-artifact-root", folder]) as server:
            self.stored()
            self.accepted(server)
            run = self.only(server)
            below = pathlib.Path(folder, run.experiment_id, run.id, "artifacts")
            found = {str(file.relative_to(below)): file.stat().st_size
                     for file in below.rglob("*") if file.is_file()}
            self.assertTrue(found)
            self.assertEqual(found, run.files())

    def test_a_server_that_takes_no_artifacts(self):  # 45
        with Server(options=["--no-serve-artifacts", "--default-artifact-root",
                             "mlflow-artifacts:/"]) as server:
            self.stored()
            self.refused(server, "--no-serve-artifacts")
            self.check_mirrored(server)  # All but the files.

    def test_a_parameter_that_is_another_there(self):  # 27
        look = self.server.look
        experiment = look.post("experiments/create", name=self.name)["experiment_id"]
        made = look.post("runs/create", experiment_id=experiment, start_time=1_700_000_000_000,
                         run_name="made by hand")["run"]["info"]["run_id"]
        look.post("runs/log-parameter", run_id=made, key="slow.steps", value="7")
        self.go("run", self.file(), env={"MLFLOW_RUN_ID": made})
        run = self.only()
        self.assertEqual((run.params["slow.steps"], run.params["first.text"]), ("7", "hello"))
        self.assertEqual(len(run.history("slow/loss")), 6)
        self.assertEqual(run.status, "FINISHED")
        self.refused(self.server, "slow.steps")


class Crowd(TrackingCase):
    # Eight commands on one store and one server, each with eight cells of which two run at a time.
    def test_eight_sweeps_at_once(self):  # 33, 35
        sweep = CHAIN.replace("steps = 6", "steps = 40") + \
            "[matrix]\nslow.checkpoint_every = [1, 2, 3, 4, 5, 6, 7, 8]\n"
        files = [self.file(sweep.replace('"hello"', f'"hello {i}"'), f"p{i}.toml")
                 for i in range(8)]
        processes = [self.background("run", file) for file in files]
        for process in processes:
            _, err = process.communicate(timeout=600)
            self.assertEqual(process.returncode, 0, err)
        self.go("sync")
        runs = self.remote()
        self.assertEqual(len(runs), 8 * (1 + 8))
        for run in runs:
            if "mlflow.parentRunId" in run.tags:
                points = run.history("slow/loss")
                self.assertEqual([step for step, _, _ in points], list(range(1, 41)))
                self.assertEqual(run.last["slow/loss"], points[-1][1])


if __name__ == "__main__":
    main()
