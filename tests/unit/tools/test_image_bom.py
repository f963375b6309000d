"""The bill of materials names what the package itself carries of others."""

from tools.image_bom import carried


def test_swagger_ui_is_listed_with_its_licence() -> None:
    component = carried()
    assert component["purl"] == f"pkg:npm/swagger-ui-dist@{component['version']}"
    assert component["licenses"] == [{"license": {"id": "Apache-2.0"}}]
