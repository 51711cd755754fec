#!/usr/bin/env bash
# Looks up known vulnerabilities of all that is linked in, and of the newest Go of this
# line, which is the one to build with. Everything comes through the module proxy, the
# database as well: where modules can be had, so can it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

database=golang.org/x/vulndb
version=$(go list -m -f '{{.Version}}' "$database@latest")
newest=$(go list -m -f '{{.Version}}' toolchain@patch)
dir=$(cd / && go mod download -json "$database@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
(cd / && go run "$database/cmd/indexdb@$version" -vulns "$dir/data/osv" -out "$made")
echo "vuln: $(find "$dir/data/osv" -name '*.json' | wc -l) entries of $database $version; $newest (here: $(go env GOVERSION))"

# What looks is built before the other Go is chosen, which it then asks for the code.
go build -modfile=tools/go.mod -o "$made/govulncheck" golang.org/x/vuln/cmd/govulncheck
export GOTOOLCHAIN=$newest
for module in . integration/bench; do
  echo "vuln: module $module"
  "$made/govulncheck" -C "$module" -db "file://$made" ./...
done
