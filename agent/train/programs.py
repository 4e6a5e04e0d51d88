# SPDX-License-Identifier: MIT
"""Programs whose role was decided by reading: package -> role.

The usual ones are listed here; `roles.tsv` has some sixteen thousand others, each read
on its own by what its package says of it.  Its role "-" means: none of ours.
"""

from __future__ import annotations

from pathlib import Path

READ = Path(__file__).parent / "roles.tsv"
NO_ROLE = "-"

BY_ROLE = {
    "web": "nginx nginx-full nginx-light apache2 lighttpd uwsgi gunicorn puma "
    "php8.2-fpm caddy tomcat10 tomcat9 thttpd mini-httpd nodejs monkey webfs wordpress "
    "mediawiki roundcube h2o yaws jetty9 hiawatha cherokee uvicorn darkhttpd",
    "database": "postgresql postgresql-15 postgresql-17 mariadb-server mysql-server "
    "default-mysql-server sqlite3 couchdb firebird3.0-server influxdb slapd "
    "mongodb-server virtuoso-opensource monetdb5-sql crate",
    "queue": "redis redis-server valkey-server memcached rabbitmq-server mosquitto "
    "nats-server beanstalkd keydb activemq nsqd gearman-job-server kafka zookeeper",
    "proxy": "tor pgpool2 pgbouncer haproxy squid varnish tinyproxy privoxy "
    "nghttp2-proxy pound trafficserver envoy stunnel4 sniproxy dante-server hitch "
    "3proxy polipo pen relayd",
    "mail": "postfix exim4 exim4-daemon-light dovecot-core dovecot-imapd opensmtpd "
    "sendmail-bin courier-mta cyrus-imapd spamassassin rspamd mailman3 citadel-server "
    "amavisd-new getmail6 fetchmail opendkim postgrey",
    "files": "samba nfs-kernel-server vsftpd proftpd-core minidlna ceph-osd "
    "glusterfs-server netatalk nfs-ganesha pure-ftpd tgt nbd-server minio ksmbd-tools "
    "moosefs-chunkserver sshfs atftpd tftpd-hpa",
    "network": "mosh lldpd bind9 dnsmasq unbound isc-dhcp-server kea-dhcp4-server "
    "openvpn wireguard wireguard-tools strongswan frr bird2 hostapd openssh-server "
    "chrony ntp ntpsec knot nsd pdns-server pdns-recursor freeradius network-manager "
    "wpasupplicant dropbear tinc systemd-resolved avahi-daemon keepalived radvd quagga",
    "control": "openhab home-assistant openplc linuxcnc-uspace linuxcnc node-red "
    "zigbee2mqtt octoprint fhem knxd owserver misterhouse gpsd apcupsd nut-server "
    "lcdproc rtl-433 domoticz ros-base ethercat pigpiod",
    "monitor": "prometheus prometheus-node-exporter zabbix-agent zabbix-server-pgsql "
    "netdata telegraf collectd collectd-core munin munin-node nagios4 icinga2 monit "
    "smartmontools snmpd ganglia-monitor cacti sysstat atop htop grafana "
    "prometheus-alertmanager graphite-carbon glances btop nagios-nrpe-server",
    "vision": "motion zoneminder shinobi frigate",
    "container": "retroarch docker.io containerd podman lxc incus qemu-system-x86 "
    "libvirt-daemon libvirt-daemon-system virtualbox xen-system-amd64 crun runc "
    "buildah kubelet lxd systemd-container nomad firejail qemu-system-arm dosbox bochs "
    "cri-o",
    "system": "systemd udev dbus dbus-daemon polkitd accountsservice elogind cron at "
    "sysvinit-core runit acpid rsyslog udisks2 upower irqbalance syslog-ng-core auditd "
    "nscd sssd thermald anacron",
    "desktop": "gnome-shell kwin-wayland kwin-x11 plasma-desktop xserver-xorg-core "
    "sway i3-wm xfce4-panel xfwm4 mutter lightdm gdm3 sddm openbox marco cinnamon "
    "weston fluxbox labwc plasma-workspace xwayland muffin compton picom awesome bspwm "
    "icewm xfdesktop4",
    "browser": "firefox-esr chromium epiphany-browser falkon konqueror midori "
    "qutebrowser lynx w3m netsurf-gtk dillo links2 surf torbrowser-launcher luakit",
    "editor": "blender ardour emacs vim nano gedit kate kwrite libreoffice-writer "
    "libreoffice-calc gimp inkscape geany mousepad abiword gnumeric code codeblocks "
    "krita scribus texstudio thunderbird evolution lyx kdevelop audacity freecad kicad "
    "neovim zim gnome-text-editor libreoffice-impress joe okular evince kdenlive "
    "darktable qtcreator",
    "terminal": "gnome-terminal xterm konsole tmux screen bash zsh fish kitty "
    "alacritty xfce4-terminal terminator rxvt-unicode dash foot lxterminal ksh tilix",
    "game": "supertuxkart minetest 0ad steam-installer wesnoth openttd quake3 "
    "gnome-chess freeciv-client-gtk3 supertux lutris nethack-console tuxkart "
    "warzone2100 frozen-bubble xonotic openarena",
    "media": "vlc mpv pipewire pulseaudio kodi totem audacious rhythmbox jackd2 "
    "clementine smplayer mplayer linphone-desktop mumble obs-studio guvcview cheese "
    "wireplumber spotify-client mpd cmus amarok elisa strawberry jami",
    "build": "gcc gcc-12 gcc-14 g++ make ninja-build cmake cargo rustc clang clang-19 "
    "ccache golang-go default-jdk maven gradle jenkins buildbot distcc bazel-bootstrap "
    "meson sbuild pbuilder ant scons tcc gfortran ghc gitlab-runner icecc binutils lld "
    "cpp ocaml fpc nasm autoconf automake devscripts dpkg-dev",
    "compute": "octave gromacs lammps openfoam julia r-base scilab maxima ngspice "
    "blast2 ncbi-blast+ quantum-espresso nwchem boinc-client slurmd hmmer bwa samtools "
    "gmsh calculix-ccx elmerfem stress-ng john hashcat gap pari-gp cp2k abinit mpich "
    "bowtie2 stress",
    "learn": "weka python3-sklearn caffe-cpu vowpal-wabbit mlpack-bin python3-torch "
    "liblinear-tools svm-tools fasttext shogun tensorboard",
    "transcode": "ffmpeg handbrake handbrake-cli x264 x265 lame flac vorbis-tools "
    "gstreamer1.0-tools mencoder melt imagemagick povray opus-tools mkvtoolnix "
    "graphicsmagick twolame sox rav1e svt-av1 aom-tools webp ffmpegthumbnailer "
    "dvdauthor abcde luxcorerender",
    "backup": "barman restic borgbackup rsnapshot duplicity bacula-fd bacula-director "
    "backuppc amanda-server rdiff-backup deja-dup timeshift vorta kopia backup-manager "
    "bup dump tar burp-client barman-cli pgbackrest snapper partclone dar backupninja "
    "obnam duplicati attic bareos-filedaemon mydumper urbackup-client luckybackup "
    "storebackup backintime-common proxmox-backup-client fsarchiver clonezilla zbackup",
    "sync": "nextcloud-desktop rsync syncthing rclone transmission-daemon unison wget "
    "curl aria2 deluge qbittorrent nextcloud-desktop-cmd lsyncd apt-mirror debmirror "
    "offlineimap isync csync2 mktorrent rtorrent ktorrent axel onedrive lftp git-annex "
    "osync yt-dlp dropbox",
    "update": "fwupd apt dpkg dnf unattended-upgrades packagekit snapd aptitude "
    "flatpak apt-listchanges needrestart synaptic cron-apt update-manager-core "
    "apticron gnome-software debootstrap plasma-discover aptdaemon yum zypper opkg "
    "mmdebstrap",
    "index": "tracker-miner-fs plocate mlocate locate baloo-kf5 recoll xapian-omega "
    "solr sphinxsearch logrotate logwatch goaccess awstats man-db swish-e "
    "elasticsearch tracker-extract webalizer recollcmd manticore localsearch",
    "scan": "clamav clamav-daemon clamav-freshclam rkhunter chkrootkit lynis aide "
    "tripwire nmap debsums openvas unhide nikto samhain clamtk yara masscan tiger lsat "
    "fcheck integrit maldet",
}
USUAL = {
    package: role for role, packages in BY_ROLE.items() for package in packages.split()
}


def by_reading() -> dict[str, str]:
    """Return the role of every program that was read; "" is none of ours."""
    rows = (line.split("\t") for line in READ.read_text("utf-8").splitlines())
    read = {package: "" if role == NO_ROLE else role for package, role in rows}
    return read | USUAL
