package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// tree says which pages lead to which. The last ones lead back.
var tree = map[string][]string{
	"/":                  {"/caves", "/rivers"},
	"/caves":             {"/caves/dos-ojos", "/caves/sac-actun", "/rivers"},
	"/rivers":            {"/rivers/usumacinta", "/"},
	"/caves/dos-ojos":    {"/", "/caves/sac-actun"},
	"/caves/sac-actun":   {"/caves/dos-ojos"},
	"/rivers/usumacinta": {"/"},
}

// pages serves the tree.
func pages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		links, ok := tree[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "<title>%d links</title>", len(links))
		for _, link := range links {
			fmt.Fprintf(w, "<a href=%q>", link)
		}
	})
}

var (
	titleOf = regexp.MustCompile(`<title>(.*)</title>`)
	linksOf = regexp.MustCompile(`<a href="([^"]*)">`)
)

// read fetches a page.
func read(ctx context.Context, url string) (title string, links []string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var page strings.Builder
	if _, err := io.Copy(&page, resp.Body); err != nil {
		return "", nil, err
	}
	if m := titleOf.FindStringSubmatch(page.String()); m != nil {
		title = m[1]
	}
	for _, m := range linksOf.FindAllStringSubmatch(page.String(), -1) {
		links = append(links, m[1])
	}
	return title, links, nil
}
