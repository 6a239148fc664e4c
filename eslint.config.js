import tseslint from 'typescript-eslint';

/**
 * Who may import whom: nothing imports upward, nothing reaches into another package's inside. `native`
 * imports nothing of ours. Tests may also use the conformance suite and the in-memory runtime.
 */
const IMPORTS = {
  'packages/runtime': [],
  'packages/guest': ['runtime', 'native'],
  'packages/image': ['runtime', 'native', 'guest'],
  'packages/default-image': [],
  'packages/conformance': ['runtime'],
  'packages/fake-firecracker': ['runtime'],
  'packages/volatile-disk': [],
  'packages/in-memory': ['runtime', 'native', 'guest'],
  'packages/metrics': ['runtime'],
  'packages/driver-kit': ['runtime', 'native', 'guest', 'image'],
  'packages/firecracker': ['runtime', 'native', 'guest', 'image', 'driver-kit'],
  'packages/qemu': ['runtime', 'native', 'guest', 'image', 'driver-kit'],
  'packages/sdk': ['runtime', 'in-memory', 'qemu', 'firecracker'],
  'packages/bench': [
    'runtime',
    'native',
    'guest',
    'image',
    'in-memory',
    'driver-kit',
    'qemu',
    'fake-firecracker',
    'firecracker',
    'sdk',
  ],
  'tools/quickstart': ['runtime', 'image', 'qemu', 'sdk'],
  'examples/hello': ['sdk'],
  'examples/own-image': ['sdk', 'image'],
  'examples/minimal-driver': ['runtime', 'native', 'driver-kit'],
};
const NAMES = ['native', ...Object.keys(IMPORTS).map((folder) => folder.split('/')[1])];

function importRules(allowed) {
  const forbidden = NAMES.filter((name) => !allowed.includes(name)).map((name) => `@microvm/${name}`);
  return {
    'no-restricted-imports': [
      'error',
      {
        paths: forbidden.map((name) => ({ name, message: 'imports go downward only: see ARCHITECTURE.md' })),
        patterns: [
          { group: ['@microvm/*/*'], message: 'a package is used through its index' },
          {
            group: ['**/packages/**', '**/native/src/**'],
            message: 'another package is imported by its name',
          },
        ],
      },
    ],
  };
}

/**
 * A test's own limit says how quick the machine is. The only ones are in vitest.config.ts, and end what would
 * never end.
 */
const NO_LIMIT = 'no limit of its own, which a busy machine reaches';
const LIMITED_CALLS = [
  "CallExpression[callee.property.name='poll']",
  'CallExpression[callee.name=/^(describe|it|test)$/]',
  'CallExpression[callee.callee.object.name=/^(describe|it|test)$/]',
];

export default tseslint.config(
  {
    ignores: [
      '**/dist/**',
      '**/build/**',
      '**/prebuilds/**',
      '**/node_modules/**',
      '.nx/**',
      'coverage/**',
      '**/generated/**',
    ],
  },
  {
    files: [
      'native/**/*.ts',
      'packages/*/{src,test}/**/*.ts',
      'tools/*/{src,test}/**/*.ts',
      'examples/*/{src,test}/**/*.ts',
    ],
    ignores: ['**/*.d.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    // One program for all packages: with one for each, sources are checked again for every package that uses
    // them.
    languageOptions: {
      parserOptions: { project: ['tsconfig.json'], tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', destructuredArrayIgnorePattern: '^_' },
      ],
      'max-params': ['error', 4],
      'max-lines': ['error', { max: 400 }],
      'max-lines-per-function': ['error', { max: 50, skipBlankLines: true, skipComments: true }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx'] }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['packages/*/src/**/*.ts'],
    ignores: ['packages/bench/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector:
            "CallExpression[callee.property.type='Identifier'][callee.property.name=/^(sync|datasync)$/]",
          message: "use syncPath of @microvm/runtime: a FileHandle of Yarn's Plug'n'Play cannot sync",
        },
      ],
    },
  },
  ...Object.entries(IMPORTS).map(([folder, allowed]) => ({
    files: [`${folder}/src/**/*.ts`],
    rules: importRules(allowed),
  })),
  {
    files: ['**/test/**/*.ts'],
    rules: { 'max-lines': ['error', { max: 500 }], 'max-lines-per-function': 'off' },
  },
  {
    files: ['**/test/**/*.ts'],
    // On the testbed's emulated host a whole suite has its own limit.
    ignores: ['packages/firecracker/test/testbed/**'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'vi', property: 'waitFor', message: `${NO_LIMIT}: use expect.poll` },
      ],
      'no-restricted-syntax': [
        'error',
        ...LIMITED_CALLS.map((call) => ({
          selector: `${call} > ObjectExpression > Property[key.name='timeout']`,
          message: NO_LIMIT,
        })),
      ],
    },
  },
  // The conformance suite is made of tests: a describe block is a function of any length.
  { files: ['packages/conformance/src/suites/**/*.ts'], rules: { 'max-lines-per-function': 'off' } },
);
