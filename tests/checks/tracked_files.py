"""The files that belong to the repository: what git tracks, or everything below the root of an unpacked archive."""
import pathlib
import subprocess

OUTSIDE = {".git", ".deps", "build", "runs", "shards", "__pycache__"}


def tracked_files(root):
    root = pathlib.Path(root)
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        names = [root / name for name in listed.stdout.split("\0") if name]
    else:
        names = [path for path in root.rglob("*") if not OUTSIDE.intersection(path.relative_to(root).parts)]
    return sorted(path for path in names if path.is_file())
