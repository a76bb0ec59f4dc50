package certjsonlexporter

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
	part, err := file.Sub(component.NewIDWithName(component.MustNewType("certjsonl"), name).String())
	require.NoError(t, err)
	config := createDefaultConfig().(*Config)
	return config, part.Unmarshal(config)
}

func TestConfigStructHasKeys(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}

// Without a word, success means on disk, and a full disk is waited for.
func TestConfigDefaultsAreTheSafeOnes(t *testing.T) {
	config, err := load(t, "defaults")

	require.NoError(t, err)
	require.NoError(t, confmap.Validate(config))
	assert.True(t, config.QueueConfig.Get().WaitForResult)
	assert.Zero(t, config.RetryConfig.MaxElapsedTime)
	assert.True(t, config.RetryConfig.Enabled)
	assert.Zero(t, config.MaxMB)
}

func TestConfigTakesEveryKey(t *testing.T) {
	config, err := load(t, "all")

	require.NoError(t, err)
	require.NoError(t, confmap.Validate(config))
	assert.Equal(t, "trail.jsonl", config.Path)
	assert.InDelta(t, 100.5, config.MaxMB, 0)
	assert.Equal(t, "file_storage", config.QueueConfig.Get().StorageID.String())
	assert.Equal(t, 5*time.Second, config.RetryConfig.MaxInterval)
}

func TestConfigNamesTheWrongKey(t *testing.T) {
	for name, key := range map[string]string{"no_path": "path", "negative": "max_mb"} {
		t.Run(name, func(t *testing.T) {
			config, err := load(t, name)
			require.NoError(t, err)

			assert.ErrorContains(t, confmap.Validate(config), key)
		})
	}
}

func TestConfigRefusesAnUnknownKey(t *testing.T) {
	_, err := load(t, "unknown")

	assert.ErrorContains(t, err, "append")
}
