import { expectTypeOf, it } from 'vitest';
import { createMicrovm, microvm } from '../src/index.js';
import type {
  CommandChunk,
  CommandResult,
  Detached,
  Execution,
  Microvm,
  Snapshot,
  Vm,
  VmRuntime,
  VmView,
} from '../src/index.js';

it('has the types that its users write against', () => {
  expectTypeOf(microvm).toEqualTypeOf<Microvm>();
  expectTypeOf(createMicrovm).toBeCallableWith({ runtime: {} as VmRuntime });
  expectTypeOf(createMicrovm).toBeCallableWith({ driver: 'qemu', stateDir: '/var/lib/x' });
  // @ts-expect-error a runtime is open already: there is nothing left to choose
  expectTypeOf(createMicrovm).toBeCallableWith({ runtime: {} as VmRuntime, stateDir: '/var/lib/x' });
  expectTypeOf<Microvm['create']>().returns.resolves.toEqualTypeOf<Vm>();
  expectTypeOf<Microvm['create']>().parameter(0).not.toBeAny();
  expectTypeOf<Vm>().toExtend<AsyncDisposable>();
  const exec = (vm: Vm) => vm.exec('true');
  expectTypeOf(exec).returns.toEqualTypeOf<Execution>();
  const start = (vm: Vm) => vm.exec('true', { detached: true });
  expectTypeOf(start).returns.toEqualTypeOf<Promise<Detached>>();
  expectTypeOf<Execution>().toExtend<Promise<CommandResult>>();
  expectTypeOf<Execution>().toExtend<AsyncIterable<CommandChunk>>();
  expectTypeOf<Awaited<Execution>>().toEqualTypeOf<CommandResult>();
  expectTypeOf<CommandResult['stdout']>().toEqualTypeOf<string>();
  expectTypeOf<CommandResult['exitCode']>().toEqualTypeOf<number | null>();
  expectTypeOf<Vm['snapshot']>().returns.resolves.toEqualTypeOf<Snapshot>();
  expectTypeOf<Snapshot['restore']>().returns.resolves.toEqualTypeOf<Vm>();
  expectTypeOf<Parameters<Snapshot['restore']>[0]>().not.toExtend<{ restoreFrom?: object }>();
  expectTypeOf<Vm['stop']>().returns.resolves.toEqualTypeOf<VmView>();
  expectTypeOf<Awaited<ReturnType<Vm['console']>>>().toEqualTypeOf<string>();
});
