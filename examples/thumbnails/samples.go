package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
)

// samples writes six images of different sizes, and one that is small as a file and takes
// 400 MB as an image.
func samples(dir string) error {
	for i := range 6 {
		img := image.NewGray(image.Rect(0, 0, 200*(i+1), 150*(i+1)))
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				img.SetGray(x, y, color.Gray{Y: uint8((x ^ y) & 0xff)})
			}
		}
		if err := write(filepath.Join(dir, fmt.Sprintf("sample-%d.png", i+1)), img); err != nil {
			return err
		}
	}
	return write(filepath.Join(dir, "bomb.png"), blank{20_000, 20_000})
}

// blank is a white image that takes no memory until somebody decodes it.
type blank struct{ w, h int }

func (blank) ColorModel() color.Model   { return color.GrayModel }
func (b blank) Bounds() image.Rectangle { return image.Rect(0, 0, b.w, b.h) }
func (blank) At(int, int) color.Color   { return color.Gray{Y: 255} }

func write(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(f, img); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
