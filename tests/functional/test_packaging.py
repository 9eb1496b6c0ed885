"""The wheel holds everything, and can be built from a tree that git knows nothing of."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import testtools

ROOT = pathlib.Path(__file__).parents[2]
_NEEDED = ('queueservice', 'setup.cfg', 'setup.py', 'pyproject.toml', 'README.rst', 'LICENSE')


class PackagingTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def build_wheel(self):
        tree = self.directory / 'tree'
        tree.mkdir()
        for name in _NEEDED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(ROOT / name, tree / name)
        subprocess.run(
            [sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', self.directory, tree],
            check=True,
            capture_output=True,
        )
        (wheel,) = self.directory.glob('*.whl')
        return wheel

    def test_wheel_holds_every_file_and_every_module_imports(self):
        with zipfile.ZipFile(self.build_wheel()) as wheel:
            held = {name for name in wheel.namelist() if name.startswith('queueservice/')}
            wheel.extractall(self.directory / 'installed')
        files = {
            str(path.relative_to(ROOT))
            for path in (ROOT / 'queueservice').rglob('*')
            if path.is_file() and '__pycache__' not in path.parts
        }
        self.assertEqual(files, held)
        modules = sorted(
            name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')
            for name in held
            if name.endswith('.py') and name != 'queueservice/wsgi.py'  # which serves as soon as it is imported
        )
        program = f'import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n'
        program += f'import queueservice\nassert queueservice.__file__.startswith({str(self.directory)!r})\n'
        subprocess.run(
            [sys.executable, '-c', program],
            check=True,
            cwd=self.directory / 'installed',
            env={'PYTHONPATH': str(self.directory / 'installed'), 'HOME': str(self.directory)},
        )
