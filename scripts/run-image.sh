#!/usr/bin/env bash
# Runs an image that buildah has, without a container engine, as its Dockerfile and docker-compose.yml want it run: its
# own user, no capability, no new privileges, a read-only root, writable volumes and /tmp alone. The network is this
# machine's. Root, on Linux, with buildah and util-linux.
#   scripts/run-image.sh IMAGE FOLDER [COMMAND...]
# FOLDER holds data, keys, models and config, which are mounted as /data, /keys, /models and /config (the last two
# read-only). Without COMMAND: what the image starts. NAME=VALUE words before it are put into its environment.
set -euo pipefail
[ $# -ge 2 ] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
image=$1 folder=$(realpath "$2")
shift 2
buildah=(buildah --storage-driver "${STORAGE_DRIVER:-vfs}")
told() { "${buildah[@]}" inspect --type image --format "$1" "$image"; }

# One working copy of an image stays, so that a second run starts at once.
working="run-$(told '{{.FromImageID}}' | cut -c1-12)"
"${buildah[@]}" inspect "$working" >/dev/null 2>&1 || "${buildah[@]}" from --pull-never --name "$working" "$image" >/dev/null
root=$("${buildah[@]}" mount "$working")

user=$(told '{{.OCIv1.Config.User}}')
work=$(told '{{.OCIv1.Config.WorkingDir}}')
mapfile -t environ < <(told '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' | sed '/^$/d')
mapfile -t entry < <(told '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' | sed '/^$/d')
mapfile -t default < <(told '{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' | sed '/^$/d')
while [ $# -gt 0 ] && [[ $1 =~ ^[A-Z_]+= ]]; do
    environ+=("$1")
    shift
done
[ $# -gt 0 ] || set -- "${entry[@]}" "${default[@]}"
mkdir -p "$folder"/{models,config}
for name in data keys; do   # those that are there stay whose they are
    [ -d "$folder/$name" ] || install --directory --mode=0700 --owner="${user%:*}" --group="${user#*:}" "$folder/$name"
done

# shellcheck disable=SC2016  # expanded by the inner shell
exec unshare --mount --pid --fork --kill-child bash -euc '
    root=$1 folder=$2 user=$3 work=$4
    shift 4
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -o remount,bind,ro,nosuid,nodev "$root"
    mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o nosuid,nodev,size=256m tmpfs "$root/tmp"
    chmod 1777 "$root/tmp"
    for name in data keys; do mount --bind "$folder/$name" "$root/$name"; done
    for name in models config; do
        mount --bind "$folder/$name" "$root/$name"
        mount -o remount,bind,ro "$root/$name"
    done
    uid=${user%:*} gid=${user#*:}
    exec chroot "$root" setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs --bounding-set=-all \
        --inh-caps=-all --ambient-caps=-all env --chdir="$work" --ignore-environment "$@"
' run-image "$root" "$folder" "$user" "$work" "${environ[@]}" "$@"
