#!/bin/sh
# Stands in for every program that a deployment runs, by the name that it is called by. It notes how it was called and what
# it was told, and keeps an account in files: parameters, stacks, what has been made.
set -eu
name=${0##*/}
echo "$name $*" | sed "s#$STAGE#STAGE#g" >>"$STAGE/log"
env >>"$STAGE/environment"

refuse() {
  echo "
An error occurred ($1) when calling the Something operation: $2" >&2
  exit 254
}

# A test may want a call to fail: `failing` holds the beginning of its line.
if [ -e "$STAGE/failing" ] && case "$name $*" in "$(cat "$STAGE/failing")"*) true ;; *) false ;; esac; then
  echo "$name: it fails, as the test wants it" >&2
  exit 1
fi

case "$name $*" in
  "node --version") echo v22.20.0 ;;
  "node --import tsx bin/config.ts "*)
    if [ -e "$STAGE/mistakes" ]; then cat "$STAGE/mistakes" >&2; exit 1; fi
    cat "$STAGE/config.json"
    ;;
  "npm ci "*) mkdir -p node_modules ;;
  "docker info --format {{.Architecture}}") echo aarch64 ;;
  "rustup target list --installed") printf 'aarch64-unknown-linux-musl\nx86_64-unknown-linux-musl\n' ;;
  "cargo-zigbuild zigbuild "*" --target "*)
    target=${*##*--target }
    target=${target%% *}
    mkdir -p "target/$target/release"
    for program in interactions worker watchdog; do cp "$STAGE/$target" "target/$target/release/$program"; done
    ;;
  "cargo build --package dormouse "*)
    mkdir -p target/debug
    [ -e target/debug/dormouse ] || ln -s "$0" target/debug/dormouse
    ;;
  "dormouse discord register "*) cat >"$STAGE/told-to-dormouse" && echo "guild 1: everything is as it should be" ;;
  "dormouse discord invite "*) echo "https://discord.com/oauth2/authorize?…" ;;
  "dormouse cost --config "*) echo "(the estimate)" ;;
  "dormouse doctor --aws "*) echo "ok   everything" ;;
  "npx --no -- cdk bootstrap "*) touch "$STAGE/bootstrapped" ;;
  "npx --no -- cdk diff --all") echo "(the differences)" ;;
  "npx --no -- cdk deploy --all "*" --outputs-file "*)
    cp "$STAGE/outputs.json" "${*##*--outputs-file }"
    touch "$STAGE/deployed"
    ;;
  "npx --no -- cdk destroy dormouse-service --exclusively --force")
    test "$DORMOUSE_ARTEFACTS" = "${PWD}/test/artefacts"
    rm "$STAGE/deployed"
    ;;
  "aws sts get-caller-identity "*) cat "$STAGE/identity.json" ;;
  "aws ssm get-parameter --name /cdk-bootstrap/hnb659fds/version "*)
    [ -e "$STAGE/bootstrapped" ] || refuse ParameterNotFound "no such parameter"
    echo '{"Parameter": {"Value": "33"}}'
    ;;
  "aws iam get-role --role-name AWSServiceRoleForECS "*)
    [ -e "$STAGE/role" ] || refuse NoSuchEntity "no such role"
    echo '{"Role": {}}'
    ;;
  "aws iam create-service-linked-role "*) touch "$STAGE/role" ;;
  "aws lambda get-account-settings "*) echo '{"AccountLimit": {"ConcurrentExecutions": 1000}}' ;;
  "aws ssm get-parameters --names "*)
    found=$(ls "$STAGE/parameters" | sed 's#.*#"/dormouse/&"#' | paste -sd, -)
    echo "[$found]"
    ;;
  "aws ssm get-parameters --with-decryption --names /dormouse/discord-token "*)
    printf '{"Parameters": [{"Value": "%s"}]}\n' "$(cat "$STAGE/parameters/discord-token")"
    ;;
  "aws ssm put-parameter --type SecureString --name /dormouse/"*" --value file:///dev/stdin"*)
    file=${*#*--name /dormouse/}
    file=$STAGE/parameters/${file%% *}
    case "$*" in *--overwrite*) ;; *) [ ! -e "$file" ] || refuse ParameterAlreadyExists "it exists" ;; esac
    cat >"$file"
    ;;
  "aws cloudformation describe-stacks --stack-name dormouse-stateful "*)
    [ -e "$STAGE/worlds.json" ] || refuse ValidationError "Stack with id dormouse-stateful does not exist"
    cat "$STAGE/worlds.json"
    ;;
  "aws cloudformation describe-stacks --stack-name dormouse-service "*)
    [ -e "$STAGE/deployed" ] || refuse ValidationError "Stack with id dormouse-service does not exist"
    echo '[]'
    ;;
  "aws ecs list-tasks --cluster dormouse "*) cat "$STAGE/tasks.json" ;;
  *)
    echo "the stand-in does not know: $name $*" >&2
    exit 99
    ;;
esac
