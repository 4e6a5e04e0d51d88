# SPDX-License-Identifier: MIT
"""What operators call all workloads of a role: role -> nouns, English and Chinese.

Only what can hardly mean anything else: "mail" or "update" may be a verb.  Whatever
is not here stays text, and the model reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        role: tuple(nouns.split("|"))
        for role, nouns in {
            "browser": "browser|browsers|web browser|web browsers|浏览器",
            "editor": "editor|editors|text editor|text editors|ide|编辑器",
            "game": "game|games|video games|游戏",
            "media": "media player|media players|music player|video call|播放器",
            "web": "web server|web servers|webserver|webservers|website|websites"
            "|web site|web sites|web services|网站",
            "database": "database|databases|db|database server|database servers|数据库",
            "queue": "cache|caches|broker|brokers|message queue|message queues|缓存",
            "proxy": "proxy|proxies|load balancer|load balancers|gateway|代理",
            "mail": "mail server|mail servers|mail delivery|邮件服务器",
            "files": "file server|file servers|nas|文件服务器",
            "monitor": "monitoring|dashboards|metrics collectors|监控",
            "build": "build|builds|compiler|compilers|compilation|compilations"
            "|compile job|compile jobs|build job|build jobs|anything that compiles"
            "|whatever compiles|编译",
            "compute": "simulation|simulations|number crunching|计算任务",
            "learn": "training job|training jobs|training run|training runs"
            "|model training|machine learning|模型训练",
            "transcode": "transcoder|transcoders|transcoding|video encoding|转码",
            "backup": "backup|backups|backup job|backup jobs|anything that backs up"
            "|whatever makes backups|备份",
            "sync": "sync job|sync jobs|file synchronization|mirrors|torrents|同步",
            "index": "indexer|indexers|indexing|search indexing|索引",
            "scan": "virus scanner|virus scanners|virus scan|virus scans|antivirus"
            "|杀毒",
        }.items()
    }
)
