"""Turns a dashboard as data into Grafana's JSON."""

from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from monitoring.dashboards.panels import OURS, Dashboard, Panel, Query

_SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="$datasource")
_NUMBER_HEIGHT: Final = 4
_GRAPH_HEIGHT: Final = 8


def grafana_json(page: Dashboard) -> str:
    """Return the dashboard as a file for Grafana's provisioning: sorted, indented, with a newline at the end."""
    builder = (
        dashboard.Dashboard(page.title)
        .uid(f"mlapi-{page.name}")
        .description(page.description)
        .tags(["mlapi"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone(common_models.TimeZoneBrowser)
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("mlapi")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["mlapi"])
            .keep_time(keep_time=True)
        )
    )
    for variable in _variables(page):
        builder = builder.with_variable(variable)
    number = 0
    for row in page.rows:
        number += 1
        builder = builder.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            builder = builder.with_panel(_panel(panel).id(number))
    return JSONEncoder(sort_keys=True, indent=2).encode(builder.build()) + "\n"


def _variables(page: Dashboard) -> list[Builder[models.VariableModel]]:
    def label(name: str, query: str) -> dashboard.QueryVariable:
        return (
            dashboard.QueryVariable(name)
            .query(query)
            .datasource(_SOURCE)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
            .current(models.VariableOption(text="All", value="$__all"))
        )

    models_of_page = [label("model", f"label_values(mlapi_model_info{{{OURS}}}, model)")] if page.chooses_models else []
    return [
        dashboard.DatasourceVariable("datasource").type("prometheus"),
        label("namespace", "label_values(mlapi_ready, namespace)"),
        label("job", 'label_values(mlapi_ready{namespace=~"$namespace"}, job)'),
        *models_of_page,
        *(dashboard.TextBoxVariable(name).label(title).default_value(default) for name, title, default in page.inputs),
    ]


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    return _number(panel) if panel.kind == "number" else _graph(panel)


def _number(panel: Panel) -> stat.Panel:
    builder = (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .span(panel.columns)
        .height(_NUMBER_HEIGHT)
        .graph_mode(common_models.BigValueGraphMode.AREA)
    )
    for place, query in enumerate(panel.queries):
        builder = builder.with_target(_target(query, place))
    return builder


def _graph(panel: Panel) -> timeseries.Panel:
    builder = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .span(panel.columns)
        .height(_GRAPH_HEIGHT)
        .min(0)
        .fill_opacity(8)
        .line_width(1)
        .show_points(common_models.VisibilityMode.NEVER)
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
    )
    for place, query in enumerate(panel.queries):
        builder = builder.with_target(_target(query, place))
    return builder


def _target(query: Query, place: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + place))
        .datasource(_SOURCE)
        .expr(query.expr)
        .legend_format(query.legend)
        .range()
    )
