"""python -m benchmarks.table RESULTS.json: the results as tables for the documentation."""

import json
import pathlib
import sys


def _table(title, header, rows):
    lines = [f'.. list-table:: {title}', '   :header-rows: 1', '']
    for row in (header, *rows):
        lines += [f'   {"*" if index == 0 else " "} - {cell}' for index, cell in enumerate(row)]
    return [*lines, '']


def render(results: dict) -> str:
    """reStructuredText of everything that `python -m benchmarks` measured."""
    machine = ', '.join(f'{name}: {value}' for name, value in results['machine'].items())
    lines = [f'Measured on: {machine}.', '']
    rows = [
        (name, row['floor'], row['service'], row['ratio'], row['bar'])
        for name, row in results['in process, memory'].items()
    ]
    header = ('operation', 'floor, us', 'service, us', 'ratio', 'bar')
    lines += _table('In process, memory driver, CPU', header, rows)
    rows = [
        (
            f'{name}, {driver}',
            row['floor'],
            row['service'],
            row['ratio'],
            row['bar'],
            row['requests_per_second']['service'],
            row['median_ms']['service'],
        )
        for driver in ('memory', 'sqlite')
        for name, row in results[f'behind gunicorn, {driver}'].items()
    ]
    lines += _table(
        'Behind gunicorn, 16 connections, CPU of the server for each request',
        (*header, 'requests/s', 'median, ms'),
        rows,
    )
    for driver in ('memory', 'sqlite'):
        rows = [
            (f'{name}, {level}', row['short'], row['long'], row['ratio'], row['bar'])
            for level, operations in results[f'flat, {driver}'].items()
            for name, row in operations.items()
        ]
        lines += _table(
            f'Short and long, {driver} driver, CPU', ('operation', 'short, us', 'long, us', 'ratio', 'bar'), rows
        )
    kept = results['bytes a message, memory']
    lines += [f'The memory driver keeps {kept["bytes"]} bytes for a message beside its body (bar: {kept["bar"]}).', '']
    return '\n'.join(lines)


if __name__ == '__main__':
    print(render(json.loads(pathlib.Path(sys.argv[1]).read_text())), end='')
