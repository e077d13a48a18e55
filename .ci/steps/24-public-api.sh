# The public API is that of public-api.txt, which a change of the API renews.
.ci/public-api/list >"$scratch/public-api.txt" || fail "the public API can't be listed"
diff -u public-api.txt "$scratch/public-api.txt" ||
    fail "the public API has changed. If it should, renew the listing: .ci/public-api/list >public-api.txt"
echo "$(wc -l <public-api.txt) public items"
