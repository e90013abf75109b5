"""Takes the tour in the README as a newcomer would. tests/readme.py says what its blocks mean."""

from readme import Shell, Values, blocks
from stack import Stack


def main():
    clients = {}
    with Stack() as stack:
        try:
            take(Shell(stack.port), clients)
        finally:
            for client in clients.values():
                client.process.kill()
                client.process.wait()
    print("the tour went as the README says")


def take(shell, clients):
    values, output = Values(), None
    for mark, text in blocks("A tour in two minutes"):
        match mark.split():
            case ["sh"]:
                output = shell.run(values.fill(text))
            case ["sh", name]:
                clients[name] = shell.start(text)
            case ["json"]:
                values.compare(text, output)
            case [name]:
                for line in text.splitlines():
                    if line == "^D":
                        clients[name].end()
                    elif line.startswith("> "):
                        clients[name].type(values.fill(line[2:]))
                    else:
                        values.compare(line.removeprefix("< "), clients[name].frame())


main()
