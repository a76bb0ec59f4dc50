package certscoreprocessor

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	part, err := file.Sub(component.NewIDWithName(component.MustNewType("certscore"), name).String())
	require.NoError(t, err)
	config := createDefaultConfig().(*Config)
	return config, part.Unmarshal(config)
}

func TestConfigStructHasKeys(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}

func TestConfigDefaultsAreTheDocumentedOnes(t *testing.T) {
	config, err := load(t, "defaults")

	require.NoError(t, err)
	require.NoError(t, confmap.Validate(config))
	assert.Equal(t, 250*time.Millisecond, config.Wait)
	assert.Equal(t, 64, config.MaxInFlight)
}

func TestConfigTakesEveryKey(t *testing.T) {
	config, err := load(t, "all")

	require.NoError(t, err)
	require.NoError(t, confmap.Validate(config))
	assert.Equal(t, "scorer:4317", config.Endpoint)
	assert.Equal(t, time.Second, config.Wait)
	assert.Equal(t, 8, config.MaxInFlight)
	assert.True(t, config.TLS.Insecure)
}

func TestConfigNamesTheWrongKey(t *testing.T) {
	for name, key := range map[string]string{
		"no_endpoint": "endpoint", "no_wait": "wait", "no_place": "max_in_flight",
	} {
		t.Run(name, func(t *testing.T) {
			config, err := load(t, name)
			require.NoError(t, err)

			assert.ErrorContains(t, confmap.Validate(config), key)
		})
	}
}

func TestConfigRefusesAnUnknownKey(t *testing.T) {
	_, err := load(t, "unknown")

	assert.ErrorContains(t, err, "on_timeout")
}
