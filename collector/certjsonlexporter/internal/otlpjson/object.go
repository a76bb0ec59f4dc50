package otlpjson

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// object is a JSON object that is being appended. As in protobuf's JSON, a field that has no value
// is left out.
type object struct {
	b []byte
	// start is where its first field begins.
	start int
}

func begin(b []byte) object {
	b = append(b, '{')
	return object{b: b, start: len(b)}
}

func (o *object) end() []byte {
	return append(o.b, '}')
}

// field begins one; names need no escapes.
func (o *object) field(name string) {
	if len(o.b) > o.start {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, value string) {
	if value != "" {
		o.field(name)
		o.b = appendText(o.b, value)
	}
}

func (o *object) texts(name string, values pcommon.StringSlice) {
	o.array(name, values.Len(), func(b []byte, index int) []byte {
		return appendText(b, values.At(index))
	})
}

func (o *object) id(name string, value []byte) {
	for _, part := range value {
		if part != 0 {
			o.field(name)
			o.b = append(hex.AppendEncode(append(o.b, '"'), value), '"')
			return
		}
	}
}

func (o *object) count(name string, value uint32) {
	if value != 0 {
		o.field(name)
		o.b = strconv.AppendUint(o.b, uint64(value), 10)
	}
}

func (o *object) enum(name string, value int32) {
	if value != 0 {
		o.field(name)
		o.b = strconv.AppendInt(o.b, int64(value), 10)
	}
}

// time writes a number of 64 bits, which is a text in protobuf's JSON.
func (o *object) time(name string, value pcommon.Timestamp) {
	if value != 0 {
		o.field(name)
		o.b = append(strconv.AppendUint(append(o.b, '"'), uint64(value), 10), '"')
	}
}

func (o *object) array(name string, length int, appendOne func(b []byte, index int) []byte) {
	if length == 0 {
		return
	}
	o.field(name)
	o.b = append(o.b, '[')
	for index := range length {
		if index > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendOne(o.b, index)
	}
	o.b = append(o.b, ']')
}

func (o *object) attributes(attributes pcommon.Map, dropped uint32) {
	if attributes.Len() > 0 {
		o.field("attributes")
		o.b = appendMap(o.b, attributes)
	}
	o.count("droppedAttributesCount", dropped)
}

// appendMap writes nearly all of what there is: without `object`, whose checks take a third of it.
func appendMap(b []byte, values pcommon.Map) []byte {
	b = append(b, '[')
	start := len(b)
	for key, value := range values.All() {
		if len(b) > start {
			b = append(b, ',')
		}
		if key == "" {
			b = append(b, `{"value":`...)
		} else {
			b = append(appendText(append(b, `{"key":`...), key), `,"value":`...)
		}
		b = append(appendValue(b, value), '}')
	}
	return append(b, ']')
}

func appendValue(b []byte, value pcommon.Value) []byte {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		b = appendText(append(b, `{"stringValue":`...), value.Str())
	case pcommon.ValueTypeBool:
		b = strconv.AppendBool(append(b, `{"boolValue":`...), value.Bool())
	case pcommon.ValueTypeInt:
		b = append(strconv.AppendInt(append(b, `{"intValue":"`...), value.Int(), 10), '"')
	case pcommon.ValueTypeDouble:
		b = appendDouble(append(b, `{"doubleValue":`...), value.Double())
	case pcommon.ValueTypeSlice:
		b = appendSlice(append(b, `{"arrayValue":`...), value.Slice())
	case pcommon.ValueTypeMap:
		b = appendList(append(b, `{"kvlistValue":`...), value.Map())
	case pcommon.ValueTypeBytes:
		bytes := value.Bytes().AsRaw()
		b = append(base64.StdEncoding.AppendEncode(append(b, `{"bytesValue":"`...), bytes), '"')
	case pcommon.ValueTypeEmpty:
		b = append(b, '{')
	}
	return append(b, '}')
}

func appendSlice(b []byte, values pcommon.Slice) []byte {
	o := begin(b)
	o.array("values", values.Len(), func(b []byte, index int) []byte {
		return appendValue(b, values.At(index))
	})
	return o.end()
}

func appendList(b []byte, values pcommon.Map) []byte {
	o := begin(b)
	if values.Len() > 0 {
		o.field("values")
		o.b = appendMap(o.b, values)
	}
	return o.end()
}

const (
	leastPlain = 1e-6
	mostPlain  = 1e21
)

// appendDouble writes the shortest digits that read back as the same number.
func appendDouble(b []byte, value float64) []byte {
	switch {
	case math.IsNaN(value):
		return append(b, `"NaN"`...)
	case math.IsInf(value, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(value, -1):
		return append(b, `"-Infinity"`...)
	}
	format := byte('f')
	if size := math.Abs(value); size != 0 && (size < leastPlain || size >= mostPlain) {
		format = 'e'
	}
	return strconv.AppendFloat(b, value, format, -1, 64)
}

const hexDigits = "0123456789abcdef"

const (
	low  = 0x0101010101010101
	high = 0x8080808080808080
	word = 8
)

// hasEscapes says whether one of eight bytes does not stand for itself in a text: a control
// character, a quotation mark or a backslash. Bytes of other letters than ASCII do.
func hasEscapes(bytes uint64) bool {
	quotes, slashes := bytes^('"'*low), bytes^('\\'*low)
	return ((bytes-' '*low)&^bytes|(quotes-low)&^quotes|(slashes-low)&^slashes)&high != 0
}

// load reads eight bytes, which the compiler makes one instruction of.
func load(text string) uint64 {
	_ = text[word-1]
	return uint64(text[0]) | uint64(text[1])<<8 | uint64(text[2])<<16 | uint64(text[3])<<24 |
		uint64(text[4])<<32 | uint64(text[5])<<40 | uint64(text[6])<<48 | uint64(text[7])<<56
}

func appendText(b []byte, value string) []byte {
	b = append(b, '"')
	start, index := 0, 0
	for index < len(value) {
		if len(value)-index >= word && !hasEscapes(load(value[index:])) {
			index += word
			continue
		}
		// One byte, and again: an escape is rare, and so is the end.
		if c := value[index]; c < ' ' || c == '"' || c == '\\' {
			b = append(b, value[start:index]...)
			b = appendEscaped(b, c)
			start = index + 1
		}
		index++
	}
	return append(append(b, value[start:]...), '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
	}
}
