# SPDX-License-Identifier: MIT
"""Names of workloads and programs: usual, real (packages), and invented."""

from __future__ import annotations

import random
from collections.abc import Sequence

USUAL = {  # role -> what people call such workloads | programs
    "desktop": "desk desktop gnome session wayland ui kiosk|gnome-shell kwin xorg sway mutter",
    "browser": "browser firefox chrome tabs surf|firefox chromium brave epiphany falkon",
    "editor": "editor office ide docs writer notes|code emacs vim libreoffice gedit kate",
    "terminal": "terminal shell ssh-session console user|gnome-terminal xterm tmux konsole bash",
    "game": "game quake chess arcade steam|quake3 minetest steam supertux gnome-chess",
    "media": "player call music radio video meeting tv|vlc mpv pipewire pulseaudio kodi zoom",
    "web": "shop web site blog api frontend portal store webshop tickets wiki|nginx apache2 node "
    "uwsgi gunicorn php-fpm puma lighttpd",
    "database": "db postgres orders mysql archive customers mongo ledger|postgres mysqld "
    "mariadbd mongod redis-server clickhouse",
    "queue": "cache queue redis rabbit broker memcache events|redis-server memcached rabbitmq "
    "kafka mosquitto nats",
    "proxy": "proxy gateway edge haproxy balancer ingress|haproxy envoy traefik squid varnish",
    "mail": "mail post smtp inbox mailer postfix|postfix dovecot exim4 master opensmtpd",
    "files": "nas files share samba nfs storage media-share|smbd nfsd minio ceph-osd glusterd",
    "network": "vpn dns dhcp wireguard resolver router|named dnsmasq unbound openvpn kea hostapd",
    "control": "hub home plc robot conveyor heating controller automation|homeassistant "
    "openplc zigbee2mqtt node-red ros2",
    "monitor": "metrics monitor grafana alerts probe dashboard|prometheus grafana zabbix "
    "netdata telegraf collectd",
    "vision": "camera cameras vision detector doorbell inspect infer|frigate motion "
    "tritonserver llama-server zoneminder",
    "container": "vm guest containers docker kube pods|qemu-system dockerd containerd podman "
    "libvirtd kubelet",
    "system": "system init udev login dbus|systemd dbus-daemon udevd logind polkitd",
    "build": "build compile ci builder make tests jenkins kernel-build|gcc cc1 make ninja cargo "
    "rustc clang javac",
    "compute": "sim simulation report crunch model solver import render-farm|octave gromacs "
    "python3 lammps openfoam julia",
    "learn": "train training trainer finetune ml learner experiment|torchrun python3 "
    "xgboost tensorboard",
    "transcode": "encode transcode encoder convert thumbnails render|ffmpeg handbrake x264 "
    "gstreamer blender",
    "backup": "backup nightly snapshot dump safe vault-copy|restic borg rsnapshot duplicity "
    "bacula pg_dump tar",
    "sync": "sync mirror download dropbox torrent pull|rsync syncthing rclone transmission "
    "wget aria2c unison",
    "update": "update upgrade apt patches unattended|apt dpkg dnf snapd packagekitd",
    "index": "index indexer search tracker logs digest|tracker-miner updatedb baloo elasticsearch "
    "logrotate",
    "scan": "scan scanner antivirus clam audit virus|clamscan clamd rkhunter lynis chkrootkit",
    "unknown": "job task service1 app thing misc worker mystery|python3 java node a.out main",
}
FIRST_PARTS = (
    "ba be bi bo bu da de do fi fo ga go ka ki ko la le li lo ma me mi mo na ne no"
)
PARTS = (
    f"{FIRST_PARTS} pa pe po ra re ri ro sa se so ta te ti to va ve vi vo za zo "
    "bra cro dri fle gru kle plu sta tri quo xan yel zor thu wick den ton mar lin dor "
    "pex nix tron berg ville fax lux"
).split()
PEOPLE = (
    "anna tom lee maria chen otto ines raj kim eva noah mia ali sven lucy igor rosa max "
    "nina paul olga finn hugo jana kenji lars mei nora pablo quinn rita sam tara uma"
).split()
THINGS = (
    "atlas falcon orion pluto apollo zeus hera titan comet nova ruby onyx amber cobalt maple "
    "willow otter badger heron lynx puma tiger raven eagle salmon pepper ginger basil saffron "
    "north south east west alpha beta gamma delta prod stage blue green red gold billing "
    "payroll invoice warehouse search chat video photo music map weather ticket booking stock "
    "ledger sensor turbine furnace lab press mill crane drone truck fleet bakery clinic school "
    "library museum garden kitchen office factory harbor tower bridge station"
).split()


def invented(rng: random.Random) -> str:
    """Return a word that is in no dictionary."""
    word = "".join(rng.choice(PARTS) for _ in range(rng.randint(2, 3)))
    return word + (str(rng.randint(1, 99)) if rng.random() < 0.12 else "")


def workload_name(rng: random.Random, role: str, packages: Sequence[str]) -> str:
    """Return what somebody may call a workload of this role, or of another."""
    kind = rng.random()
    if kind < 0.30:
        own = role if rng.random() < 0.75 else rng.choice(list(USUAL))
        return rng.choice(USUAL[own].split("|")[0].split())
    if kind < 0.48:
        return rng.choice(packages)
    if kind < 0.68:
        return invented(rng)
    if kind < 0.84:
        return rng.choice(THINGS)
    joint = rng.choice("- - _ .".split())
    own = rng.choice(USUAL[role].split("|")[0].split())
    other = rng.choice((rng.choice(THINGS), rng.choice(PEOPLE), invented(rng)))
    return joint.join(rng.sample((own, other), 2))


def program_name(rng: random.Random, role: str, packages: Sequence[str]) -> str:
    """Return the program of a workload of this role, or '' where it is not known."""
    if rng.random() < 0.4:
        return ""
    if rng.random() < 0.6:
        return rng.choice(USUAL[role].split("|")[1].split())
    return rng.choice(packages)
