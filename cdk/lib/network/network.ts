/**
 * Where tasks run: public subnets, because a NAT gateway would cost more than all games together, and security groups
 * that open what a game needs and nothing else. The functions are not in it.
 */

import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as efs from 'aws-cdk-lib/aws-efs';
import { Construct } from 'constructs';

import { acknowledge } from '../acknowledge.ts';
import type { Game } from '../catalog.ts';

export interface NetworkProps {
  /** The games whose ports are opened. */
  readonly games: readonly Game[];
  /** The file system that tasks mount. */
  readonly fileSystemId: string;
}

export class Network extends Construct {
  readonly vpc: ec2.Vpc;
  readonly subnetIds: string[];
  /** The security group of every task. */
  readonly tasks: ec2.SecurityGroup;
  /** The security group that opens a game's ports, by game. */
  readonly games: ReadonlyMap<string, ec2.SecurityGroup>;

  constructor(scope: Construct, id: string, props: NetworkProps) {
    super(scope, id);
    this.vpc = this.makeVpc();
    this.subnetIds = this.vpc.publicSubnets.map((subnet) => subnet.subnetId);
    const files = this.group('FilesGroup', 'the file system of the worlds', { open: false });
    this.tasks = this.group('TasksGroup', 'tasks: to the files, and to the front door, S3 and ECR', { open: false });
    this.tasks.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'front door, S3, ECR, logs');
    this.tasks.addEgressRule(files, ec2.Port.tcp(2049), 'the files of the worlds');
    files.addIngressRule(this.tasks, ec2.Port.tcp(2049), 'from tasks');
    this.games = new Map(props.games.map((game) => [game.id, this.gameGroup(game)]));
    this.mount(props.fileSystemId, files);
  }

  private makeVpc(): ec2.Vpc {
    const vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr('10.77.0.0/24'),
      // Every region has two zones; a second one is a second chance that Spot has room.
      maxAzs: 2,
      natGateways: 0,
      // RunTask asks for an address by itself.
      subnetConfiguration: [
        { name: 'Public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 26, mapPublicIpOnLaunch: false },
      ],
    });
    vpc.addGatewayEndpoint('S3', { service: ec2.GatewayVpcEndpointAwsService.S3 });
    vpc.addGatewayEndpoint('DynamoDb', { service: ec2.GatewayVpcEndpointAwsService.DYNAMODB });
    acknowledge(vpc, {
      'AwsSolutions-VPC7': 'flow logs of players cost more than the play; who was on is in the reports of the watchdog',
    });
    return vpc;
  }

  private group(id: string, description: string, { open }: { readonly open: boolean }): ec2.SecurityGroup {
    return new ec2.SecurityGroup(this, id, { vpc: this.vpc, description, allowAllOutbound: open });
  }

  /** Players come from anywhere. Out, games talk to their makers' servers, whose ports nobody can list. */
  private gameGroup(game: Game): ec2.SecurityGroup {
    const group = this.group(`${title(game.id)}Group`, `players of ${game.id}`, { open: true });
    for (const port of game.ports) {
      const number = port.protocol === 'udp' ? ec2.Port.udp(port.number) : ec2.Port.tcp(port.number);
      group.addIngressRule(ec2.Peer.anyIpv4(), number, port.name);
    }
    acknowledge(group, {
      'AwsSolutions-EC23':
        'players come from anywhere, and their addresses are not known before they come; only the ports of the game are open',
    });
    return group;
  }

  private mount(fileSystemId: string, group: ec2.SecurityGroup): void {
    this.vpc.publicSubnets.forEach((subnet, n) => {
      new efs.CfnMountTarget(this, `MountTarget${n + 1}`, {
        fileSystemId,
        subnetId: subnet.subnetId,
        securityGroups: [group.securityGroupId],
      });
    });
  }
}

/** Returns `MyGame` for `my-game`. */
export function title(id: string): string {
  return id
    .split('-')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
}
