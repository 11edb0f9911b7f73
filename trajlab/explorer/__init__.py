"""The page that shows a study and answers clicks. Panel and Bokeh are imported by its files, not by the package."""
