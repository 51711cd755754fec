package main

import (
	"io/fs"
	"iter"
	"log"
	"path/filepath"
)

// files yields the regular files below root in the order of their names. It is
// pulled as the window allows, so a tree of any size takes little memory.
func files(root string) iter.Seq[string] {
	return func(yield func(string) bool) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			if !yield(path) {
				return filepath.SkipAll
			}
			return nil
		})
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
