"""What tests read off axes."""


def row_names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]
