"""A setting with a value for all sites, and other values for some: `en,harbour=de`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PerSite:
    """The value of each site; `default` for the sites that have none."""

    default: str
    others: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "PerSite":
        """Read `default,site=value,…`."""
        default, others = "", {}
        for part in filter(None, map(str.strip, text.split(","))):
            name, is_other, value = part.partition("=")
            if is_other:
                others[name.strip()] = value.strip()
            else:
                default = name
        return cls(default, others)

    @property
    def values(self) -> set[str]:
        return {self.default, *self.others.values()}

    def of(self, site: str) -> str:
        return self.others.get(site, self.default)
