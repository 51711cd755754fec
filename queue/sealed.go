package queue

// Sealed is what a message or an outcome has when its contents are protected: then
// Payload, or Value, is what package seal has made of them, and nothing for a codec.
type Sealed struct {
	Seal []byte // how they are protected, and by which key
	// Clear is, of what was read, all bytes but the contents and the seal. The seal
	// covers them as well, those of fields that this program does not know included.
	Clear []byte
}

// cutter remembers up to two pieces of what a reader reads. A reader's place is told by
// how much is left.
type cutter struct {
	left [4]int
	n    int
}

func (c *cutter) from(r *reader) { c.left[c.n] = len(r.data); c.n++ }
func (c *cutter) to(r *reader)   { c.from(r) }

// rest is a copy of data without the pieces.
func (c *cutter) rest(data []byte) []byte {
	at := func(i int) int { return len(data) - c.left[i] }
	rest := make([]byte, 0, len(data)-(at(1)-at(0))-(at(3)-at(2)))
	rest = append(rest, data[:at(0)]...)
	rest = append(rest, data[at(1):at(2)]...)
	return append(rest, data[at(3):]...)
}
