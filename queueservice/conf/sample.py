"""Write the sample files: python -m queueservice.conf.sample DIRECTORY."""

import io
import pathlib
import sys

from oslo_config import cfg, generator

CONFIGURATION = 'queueservice.conf.sample'


def configuration() -> str:
    """The text of the sample configuration: every option of this service with its default and meaning."""
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(['--namespace', 'queueservice', '--wrap-width', '100'], project='queueservice')
    text = io.StringIO()
    generator.generate(conf, text)
    return text.getvalue()


def main():
    directory = pathlib.Path(sys.argv[1])
    (directory / CONFIGURATION).write_text(configuration())


if __name__ == '__main__':
    main()
