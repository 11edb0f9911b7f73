from trajlab.replays.module_graph import Node
from trajlab.running.network_command import network_table, show_network

NODES = [
    Node("input", "input", shape=(2, 5, 5)),
    Node("conv", "module", "Conv2d", (4, 5, 5), parameters=76, multiply_adds=1800, sources=[0]),
    Node("relu", "function", shape=(4, 5, 5), sources=[1]),
    Node("fc", "module", "Linear", (7,), parameters=707, multiply_adds=700, sources=[2]),
    Node("output", "output", shape=(5,), multiply_adds=35, sources=[3]),
]


def test_network_table__has_a_row_for_each_module_and_the_sums():
    columns = {column.header: (list(column.cells), column.footer) for column in network_table(NODES).columns}
    assert columns == {
        "module": (["conv", "fc", "functions outside modules"], "whole network"),
        "class": (["Conv2d", "Linear", ""], ""),
        "output": (["4 × 5 × 5", "7", ""], ""),
        "parameters": (["76", "707", "0"], "783"),
        "multiply–adds": (["1,800", "700", "35"], "2,535"),
    }


def test_network_table__of_modules_alone_has_no_row_of_functions():
    names = list(network_table([*NODES[:4], Node("output", "output", shape=(7,))]).columns[0].cells)
    assert names == ["conv", "fc"]


def test_show_network__prints_each_module_on_a_line(capsys):
    show_network(NODES)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["conv", "Conv2d", "4", "×", "5", "×", "5", "76", "1,800"] in lines
    assert lines[-1] == ["whole", "network", "783", "2,535"]
